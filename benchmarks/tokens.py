"""CPU of counting: ``python benchmarks/tokens.py``.

Prints what loading an encoding costs, what ``count_tokens`` costs over ``encode_ordinary``, and how long the worst texts known
take.
"""

from __future__ import annotations

import random
import string
import subprocess
import sys
import time
from collections.abc import Callable

from llmkit.tokens.count import count_tokens
from llmkit.tokens.encodings import get_encoding

LOAD = """
import time
import tiktoken, llmkit.tokens.encodings as e
began = time.process_time()
e.get_encoding({name!r})
print(time.process_time() - began)
"""
PROSE = "The quick brown fox jumps over the lazy dog, and 12 more do. "


def least(work: Callable[[], object], times: int, rounds: int = 9) -> float:
    """The least CPU seconds of one run."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began) / times)
    return min(found)


def main() -> None:
    for name in ("o200k_base", "cl100k_base", "p50k_base", "r50k_base"):
        runs = [float(subprocess.check_output([sys.executable, "-c", LOAD.format(name=name)])) for _ in range(3)]
        print(f"load {name}: {1000 * min(runs):.0f} ms of CPU")
    encode = get_encoding("o200k_base").encode_ordinary
    for size, times in ((1_000, 3000), (10_000, 300), (100_000, 30), (1_000_000, 3)):
        text = (PROSE * (size // len(PROSE) + 1))[:size]
        plain = least(lambda text=text: len(encode(text)), times)
        ours = least(lambda text=text: count_tokens(text, "gpt-4o"), times)
        print(f"{size:>9,} characters: encode_ordinary {1e6 * plain:.1f} us, count_tokens {1e6 * ours:.1f} us, {ours / plain:.3f}")
    dice = random.Random(5)
    worst = {
        "one letter": "a" * 1_000_000,
        "blanks": " " * 1_000_000,
        "signs": "!" * 1_000_000,
        "random letters": "".join(dice.choices(string.ascii_lowercase, k=1_000_000)),
        "base64": "".join(dice.choices(string.ascii_letters + string.digits + "+/", k=1_000_000)),
        "ideograms": "".join([chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(1_000_000)]),
        "emoji": "\N{GRINNING FACE}" * 1_000_000,
    }
    for name, text in worst.items():
        began = time.process_time()
        found = count_tokens(text, "gpt-4o")
        sure = "exact" if found.exact else "approximate"
        print(f"a million of {name}: {time.process_time() - began:.2f} s, {found:,} tokens, {sure}")


if __name__ == "__main__":
    main()
