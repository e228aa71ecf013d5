"""OpenAI's encodings, ready for tiktoken with no network.

Patterns, special tokens and ranks are those of tiktoken (MIT; ``tiktoken_ext/openai_public.py`` in
https://github.com/openai/tiktoken). The ranks ship with llmkit (:mod:`llmkit.tokens.packed`) and are loaded when they are first
needed, once for each process. What is there already is used in their place: an encoding that the program has loaded through
tiktoken, a file in the folder that ``TIKTOKEN_CACHE_DIR`` names, or an encoding of a ``tiktoken_ext`` plugin.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from llmkit.errors import ConfigError
from llmkit.tokens.packed import unpack
from llmkit.values.base import Value

if TYPE_CHECKING:
    from tiktoken import Encoding

_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
_O200K = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_HARMONY = {
    "<|startoftext|>": 199998,
    "<|endoftext|>": 199999,
    "<|reserved_200000|>": 200000,
    "<|reserved_200001|>": 200001,
    "<|return|>": 200002,
    "<|constrain|>": 200003,
    "<|reserved_200004|>": 200004,
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|reserved_200009|>": 200009,
    "<|reserved_200010|>": 200010,
    "<|reserved_200011|>": 200011,
    "<|call|>": 200012,
    **{f"<|reserved_{number}|>": number for number in range(200013, 201088)},
    "<|endofprompt|>": 200018,
}


@attrs.frozen(eq=False, repr=False)
class Recipe(Value):
    """What an encoding is made of."""

    file: str
    """The packed ranks under ``data``."""
    pattern: str
    """How a text is cut into pieces before it is encoded."""
    special: Mapping[str, int]
    source: str
    """OpenAI's name of the file with the ranks."""
    spaces: bool = False
    """p50k has the ranks of r50k, and after its special token those of 2 to 25 spaces."""


RECIPES: Mapping[str, Recipe] = {
    "gpt2": Recipe("r50k_base", _GPT2, {"<|endoftext|>": 50256}, "r50k_base"),
    "r50k_base": Recipe("r50k_base", _GPT2, {"<|endoftext|>": 50256}, "r50k_base"),
    "p50k_base": Recipe("r50k_base", _GPT2, {"<|endoftext|>": 50256}, "p50k_base", True),
    "p50k_edit": Recipe(
        "r50k_base", _GPT2, {"<|endoftext|>": 50256, **dict(zip(_FIM, range(50281, 50284), strict=True))}, "p50k_base", True
    ),
    "cl100k_base": Recipe(
        "cl100k_base",
        _CL100K,
        {"<|endoftext|>": 100257, **dict(zip(_FIM, range(100258, 100261), strict=True)), "<|endofprompt|>": 100276},
        "cl100k_base",
    ),
    "o200k_base": Recipe("o200k_base", _O200K, {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}, "o200k_base"),
    "o200k_harmony": Recipe("o200k_base", _O200K, _HARMONY, "o200k_base"),
}
SHA256: Mapping[str, str] = {
    "r50k_base": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    "p50k_base": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}
"""Of OpenAI's files, as tiktoken checks them."""
ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
"""Where OpenAI publishes them; tiktoken's cache names a file by the SHA-1 of this."""
CACHE_FOLDERS = ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR")

_lock = threading.Lock()
_loaded: dict[str, Encoding] = {}


def get_encoding(name: str) -> Encoding:
    """The encoding of that name, loaded if need be: 0.1 to 0.4 s of CPU once, and then nothing.

    :raises ConfigError: if neither llmkit nor tiktoken knows it.
    """
    found = _loaded.get(name)
    if found is None:
        with _lock:
            found = _loaded.get(name) or _load(name)
            _loaded[name] = found
    return found


def _load(name: str) -> Encoding:
    from tiktoken import registry

    if name in registry.ENCODINGS:
        return registry.ENCODINGS[name]
    recipe = RECIPES.get(name)
    if recipe is None or _cached(recipe.source):
        try:
            return registry.get_encoding(name)
        except ValueError:
            pass
        raise ConfigError(f"no encoding is named {name!r}; llmkit has {', '.join(RECIPES)}, tiktoken's plugins may add others")
    return made(name, recipe)


def made(name: str, recipe: Recipe) -> Encoding:
    """The encoding that a recipe and the ranks in the package make."""
    from tiktoken import Encoding

    return Encoding(name, pat_str=recipe.pattern, mergeable_ranks=ranks(recipe), special_tokens=dict(recipe.special))


def ranks(recipe: Recipe) -> dict[bytes, int]:
    """The ranks of an encoding's tokens."""
    from importlib.resources import files

    data = (files("llmkit.tokens") / "data" / f"{recipe.file}.ranks").read_bytes()
    found = {token: rank for rank, token in enumerate(unpack(data))}
    if recipe.spaces:
        found.update({b" " * count: 50257 + count - 2 for count in range(2, 26)})
    return found


def _cached(source: str) -> bool:
    """Whether the user's own folder holds OpenAI's file; tiktoken would delete and download again one whose hash is wrong."""
    import hashlib

    folder = next((os.environ[name] for name in CACHE_FOLDERS if os.environ.get(name)), None)
    if folder is None:
        return False
    file = hashlib.sha1(ADDRESS.format(source).encode(), usedforsecurity=False).hexdigest()
    try:
        with open(os.path.join(folder, file), "rb") as opened:
            return hashlib.sha256(opened.read()).hexdigest() == SHA256[source]
    except OSError:
        return False


def reset_lock() -> None:
    """In a forked child: a lock that nobody holds."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_lock)
