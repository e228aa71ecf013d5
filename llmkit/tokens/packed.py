"""The vocabularies that ship with llmkit, in a form a fifth of the size of the files they come from.

Every token of a byte-pair encoding beyond the 256 single bytes is made of two earlier tokens. So a vocabulary is the 256 bytes in
the order of their ranks, followed by six planes: the high, middle and low bytes of every left half's rank, then those of every
right half's, compressed with LZMA, whose own check sum finds damage. ``scripts/pack_encodings.py`` writes the files from OpenAI's,
whose SHA-256 it checks.
"""

from __future__ import annotations

import lzma
import sys
from array import array
from collections.abc import Sequence

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]
"""The settings that pack these planes smallest."""


def pack(tokens: Sequence[bytes]) -> bytes:
    """A vocabulary, packed.

    :param tokens: in the order of their ranks, which are 0, 1, 2, …; the first 256 are the single bytes.
    :raises ValueError: if they are no such vocabulary.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    if len(ranks) != len(tokens) or any(len(token) != 1 for token in tokens[:256]):
        raise ValueError("expected different tokens, the first 256 of them the single bytes")
    halves = [_halves(token, rank, ranks) for rank, token in enumerate(tokens) if rank >= 256]
    planes = [bytes([half[side] >> shift & 255 for half in halves]) for side in (0, 1) for shift in (16, 8, 0)]
    return lzma.compress(b"".join([*tokens[:256], *planes]), lzma.FORMAT_XZ, filters=FILTERS)


def _halves(token: bytes, rank: int, ranks: dict[bytes, int]) -> tuple[int, int]:
    """The two earlier tokens that make this one, the pair whose later half is earliest."""
    found = []
    for cut in range(1, len(token)):
        left, right = ranks.get(token[:cut], rank), ranks.get(token[cut:], rank)
        if left < rank and right < rank:
            found.append((max(left, right), left, right))
    if not found:
        raise ValueError(f"token {rank} is not made of two earlier ones")
    return min(found)[1:]


def unpack(data: bytes) -> list[bytes]:
    """The tokens in packed bytes, in the order of their ranks.

    :raises ValueError: if the data is damaged.
    """
    try:
        raw = lzma.decompress(data, lzma.FORMAT_XZ)
    except (lzma.LZMAError, EOFError) as problem:
        raise ValueError(f"the packed vocabulary is damaged: {problem}") from None
    size = (len(raw) - 256) // 6
    tokens = [raw[at : at + 1] for at in range(256)]
    add = tokens.append
    for left, right in zip(_numbers(raw, 256, size), _numbers(raw, 256 + 3 * size, size), strict=True):
        add(tokens[left] + tokens[right])
    return tokens


def _numbers(raw: bytes, start: int, size: int) -> array[int]:
    """The numbers whose high, middle and low bytes stand in three planes."""
    joined = bytearray(4 * size)
    for plane, place in enumerate((2, 1, 0)):
        joined[place::4] = raw[start + plane * size : start + (plane + 1) * size]
    numbers = array("I")
    numbers.frombytes(bytes(joined))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
