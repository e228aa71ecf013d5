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
SEAM = re.compile(
    r"[A-Za-zÀ-ÖØ-öø-ÿА-яא-תا-غँ-हぁ-んァ-ヺ一-鿕가-힣](?=[\s0-9!-&(-/:-@\[-`{-~，。、；：！？「」])"
)
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
