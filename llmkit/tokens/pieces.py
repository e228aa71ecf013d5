"""Counting a text of any length in bounded steps.

tiktoken cuts a text into pieces by a pattern and encodes each. A run of a million blanks makes the pattern's engine panic, and the
encoding of one huge piece holds a core for seconds, so a text longer than :data:`LONGEST` characters is counted in parts. It is
parted where every pattern of OpenAI's ends a piece anyway (between a letter and a blank, a digit or a punctuation mark other than
an apostrophe), which changes no count. A run without such a place is parted all the same, and then the count is approximate: each
cut adds a token or two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

LONGEST = 200_000
"""Characters that are encoded at once: at most 0.1 s, for the worst texts known; 1 MB of prose takes 0.04 s."""
LETTERS = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff\u0410-\u044f\u05d0-\u05ea\u0627-\u064a\u0905-\u0939"
LETTERS += r"\u3041-\u3093\u30a1-\u30fa\u4e00-\u9fd5\uac00-\ud7a3"
OTHERS = r"\s0-9!-&(-/:-@\[-`{-~\u3001\u3002\u300c\u300d\uff01\uff0c\uff1a\uff1b\uff1f"
SEAM = re.compile(f"[{LETTERS}](?=[{OTHERS}])")
"""A letter that ends a piece: what follows it can belong to no piece with a letter in it."""


def parts(text: str, longest: int = LONGEST) -> Iterator[tuple[str, bool]]:
    """A text in parts of at most ``longest`` characters, and for each whether it ends at a seam (the last one always does)."""
    start, end = 0, len(text)
    while end - start > longest:
        cut = _seam(text, start, start + longest)
        yield text[start : cut or start + longest], cut is not None
        start = cut or start + longest
    yield text[start:], True


def _seam(text: str, start: int, end: int) -> int | None:
    """The end of the last part that may end between ``start`` and ``end``, looked for from the back."""
    step = 1000
    for low in range(end - step, start - step, -step):
        last = None
        for found in SEAM.finditer(text, max(low, start), min(low + step + 1, end)):
            last = found.end()
        if last is not None:
            return last
    return None


def counted(text: str, encode: Callable[[str], Sequence[int]], longest: int = LONGEST) -> tuple[int, bool]:
    """The tokens of a text, and whether the count is the encoding's own."""
    tokens, whole = 0, True
    for part, seamless in parts(text, longest):
        tokens += len(encode(part))
        whole = whole and seamless
    return tokens, whole
