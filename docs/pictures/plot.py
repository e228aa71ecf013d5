"""Small plots as SVG, for pictures of simulated runs: panels one above the other, with steps and lines over time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

WIDTH, HEIGHT = 720, 180
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 28, 34
COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea")
INK = "#6b7280"
"""Readable on white and on black, as the documentation may be either."""


class Panel:
    """One plot.

    :param most: the largest value shown.
    :param unit: what ``seconds`` and all times count, where it is something else.
    """

    def __init__(self, title: str, seconds: float, most: float, unit: str = "s") -> None:
        self.title, self.seconds, self.most, self.unit = title, seconds, most, unit
        self._drawn: list[str] = []
        self._legend: list[tuple[str, str, bool]] = []

    def steps(self, name: str, times: Sequence[float], values: Sequence[float]) -> None:
        """A line that keeps each value until the next time."""
        points = [(0.0, 0.0)]
        for at, value in zip(times, values, strict=True):
            if at <= self.seconds:
                points += [(at, points[-1][1]), (at, value)]
        points.append((self.seconds, points[-1][1]))
        self._line(name, points, dashed=False)

    def level(self, name: str, value: float) -> None:
        """A dashed line across."""
        self._line(name, [(0.0, value), (self.seconds, value)], dashed=True)

    def _line(self, name: str, points: Sequence[tuple[float, float]], dashed: bool) -> None:
        colour = INK if dashed else COLOURS[sum(not dash for *_, dash in self._legend)]
        path = " ".join(point for point, _ in groupby(f"{self._x(at):.1f},{self._y(value):.1f}" for at, value in points))
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self._drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
        self._legend.append((name, colour, dashed))

    def _x(self, at: float) -> float:
        return LEFT + at / self.seconds * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.most * (HEIGHT - TOP - BOTTOM)

    def svg(self, top: int) -> str:
        """The panel, so many points from the picture's top."""
        bottom = HEIGHT - BOTTOM
        parts = [f'<g transform="translate(0,{top})">', f'<text x="{LEFT}" y="16" font-weight="600">{escape(self.title)}</text>']
        parts.append(f'<path d="M{LEFT},{TOP}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="{INK}"/>')
        for part in range(5):
            at, value = self.seconds * part / 4, self.most * part / 4
            parts.append(f'<text x="{self._x(at):.0f}" y="{bottom + 16}" text-anchor="middle">{at:g} {self.unit}</text>')
            parts.append(f'<text x="{LEFT - 8}" y="{self._y(value) + 4:.0f}" text-anchor="end">{value:g}</text>')
        parts += self._drawn
        place = WIDTH - RIGHT
        for name, colour, _ in reversed(self._legend):
            parts.append(f'<text x="{place}" y="16" text-anchor="end" fill="{colour}">{escape(name)}</text>')
            place -= 7 * len(name) + 18
        return "\n".join([*parts, "</g>"])


def write(panels: Sequence[Panel], path: Path) -> None:
    """Write a picture of panels."""
    height = HEIGHT * len(panels)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
    head += f' font-family="sans-serif" font-size="12" fill="{INK}">'
    drawn = [panel.svg(number * HEIGHT) for number, panel in enumerate(panels)]
    path.write_text("\n".join([head, *drawn, "</svg>", ""]), encoding="utf-8")
