"""Guessing the tokens of a text from its characters alone, where no tokenizer is to be loaded: a few microseconds for a page."""

from __future__ import annotations

import re
from math import ceil

WORDS = re.compile(r"[A-Za-z]+|[0-9]{1,3}|[^\x00-\x7f]|[^A-Za-z0-9\s\x80-\U0010ffff]+|\n+|[ \t]{2,}")


def lloom(text: str) -> int:
    """Lloom's formula: half of 1.3 tokens a word and of a token for four characters, each cut down to a whole number."""
    return (int(len(text.split()) * 1.3) + int(len(text) / 4)) // 2


def estimate_tokens(text: str) -> int:
    """The tokens of a text, by the scripts it is written in. For budgets and limits; :func:`~llmkit.tokens.count.count_tokens` is nearer.

    Letters of the Latin alphabet count by the word, and a word of more than seven letters for more; digits by threes; signs by the
    run; letters of other scripts by the letter.
    """
    if not text:
        return 0
    others = len(text.encode("utf-8", "replace")) - len(text)
    return max(1, ceil(lloom(text) if not others else _mixed(text)))


def _mixed(text: str) -> float:
    ascii_text = text.encode("ascii", "ignore").decode()
    return lloom(ascii_text) + sum([_weight(ord(letter)) for letter in text if letter > "\x7f"])


def _weight(code: int) -> float:
    """Tokens for one character outside ASCII."""
    for end, weight in SCRIPTS:
        if code < end:
            return weight
    return SCRIPTS[-1][1]


SCRIPTS = ((0x250, 0.5), (0x530, 0.45), (0x590, 0.6), (0x700, 0.5), (0x1100, 0.6), (0x2000, 0.8), (0x3000, 1.0),
           (0x3100, 0.7), (0xAC00, 0.8), (0xD7B0, 0.7), (0x1F000, 1.0), (0x110000, 2.0))  # fmt: skip
