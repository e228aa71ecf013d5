"""Tokenizers that vendors publish, through packages of their own.

- ``mistral-common`` (extra ``mistral``) carries Mistral's tekken vocabulary. Where it is installed, texts for Mistral's models are
  counted by it. https://mistralai.github.io/mistral-common/
- ``tokenizers`` (extra ``tokenizers``) reads a ``tokenizer.json``, which models on Hugging Face come with:
  https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmkit.errors import ConfigError, shown
from llmkit.tokens.count import TOKENIZERS, Tokenizers

TEKKEN = "tekken_240911.json"
"""The newest vocabulary in mistral-common: that of Mistral's models since September 2024."""


def register_tokenizer(model: str, tokenizer: Any, *, tokenizers: Tokenizers = TOKENIZERS) -> None:
    """Count the texts for a model with a tokenizer of your own, in this process, from now on.

    :param model: ``provider/model`` or a bare name.
    :param tokenizer: a function from a text to a number; a ``tokenizer.json`` (needs ``llmkit[tokenizers]``) or ``tekken.json``
        (needs ``llmkit[mistral]``) as a path; or an object with ``encode_ordinary`` or ``encode``, as tiktoken's and Hugging
        Face's are.
    :raises ConfigError: if it is none of them, the file cannot be read, or the extra is not installed.
    """
    tokenizers.register(model, counting(tokenizer))


def counting(tokenizer: Any) -> Callable[[str], int]:
    """A tokenizer in one of the forms that :func:`register_tokenizer` takes, as a function from a text to its number of tokens.

    :raises ConfigError: as there.
    """
    if isinstance(tokenizer, (str, Path)):
        return _from_file(Path(tokenizer))
    for name in ("encode_ordinary", "encode"):
        encode = getattr(tokenizer, name, None)
        if callable(encode):
            return lambda text: _length(encode(text))
    if callable(tokenizer):
        return tokenizer  # type: ignore[no-any-return]
    raise ConfigError(f"tokenizer: expected a function, a tokenizer or a path, got {shown(tokenizer)}")


def _length(encoded: Any) -> int:
    return len(getattr(encoded, "ids", encoded))


def _from_file(path: Path) -> Callable[[str], int]:
    if not path.is_file():
        raise ConfigError(f"tokenizer: there is no file {str(path)!r}")
    if "tekken" in path.name:
        return tekken(path)
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise _missing("tokenizers", "tokenizers") from None
    try:
        made = Tokenizer.from_file(str(path))
    except Exception as problem:  # the package raises nothing narrower
        said = str(problem)
    else:
        return lambda text: len(made.encode(text, add_special_tokens=False).ids)
    raise ConfigError(f"tokenizer: {str(path)!r} is no tokenizer.json: {said}")


@lru_cache(maxsize=8)
def tekken(path: Path | None = None) -> Callable[[str], int]:
    """Mistral's tokenizer, from a file, or the one in ``mistral-common``; it takes a second of CPU to load.

    :raises ConfigError: if the package is not installed, or has no such file.
    """
    try:
        import mistral_common
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer
    except ImportError:
        raise _missing("mistral", "mistral-common") from None
    file = path or Path(mistral_common.__file__).parent / "data" / TEKKEN
    try:
        made = Tekkenizer.from_file(file)
    except Exception as problem:  # whatever a wrong file makes the package raise
        said = f"{type(problem).__name__}: {problem}"
    else:
        return lambda text: len(made.encode(text, bos=False, eos=False))
    raise ConfigError(f"tokenizer: {str(file)!r} is no tekken.json: {said}")


def _missing(extra: str, package: str) -> ConfigError:
    return ConfigError(f"tokenizer: the package {package} is not installed; pip install 'llmkit[{extra}]'")
