"""Tokenizers from other packages: used where they are, one clear error where they are not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import tiktoken

from llmkit import ConfigError, register_tokenizer
from llmkit.tokens import count
from llmkit.tokens.count import Tokenizers, count_tokens
from llmkit.tokens.local import counting, tekken


@pytest.mark.parametrize(("module", "file", "extra"), [
    ("tokenizers", "tokenizer.json", "tokenizers"), ("mistral_common", "tekken.json", "mistral"),
])  # fmt: skip
def test_a_missing_extra_is_named(module: str, file: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / file).write_text("{}")
    with pytest.raises(ConfigError, match=rf"not installed; pip install 'llmkit\[{extra}\]'"):
        register_tokenizer("m", tmp_path / file)


class Encoded:
    ids = (1, 2, 3)


class Object:
    def encode(self, text: str) -> Any:
        return Encoded()


@pytest.mark.parametrize(("tokenizer", "tokens"), [
    (len, 4), (Object(), 3),
    (tiktoken.Encoding("b", pat_str=r"\S+|\s+", mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={}), 4),
])  # fmt: skip
def test_forms(tokenizer: Any, tokens: int):
    own = Tokenizers()
    register_tokenizer("mine", tokenizer, tokenizers=own)
    found = count_tokens("four", "mine", tokenizers=own)
    assert (found, found.exact, found.by) == (tokens, True, "the tokenizer registered for mine")


@pytest.mark.parametrize("wrong", [None, 5, "/nonexistent/tokenizer.json", [1]])
def test_wrong_forms(wrong: Any):
    with pytest.raises(ConfigError, match="tokenizer: "):
        counting(wrong)


def test_tokenizer_json(tmp_path: Path):
    tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    assert counting(tmp_path / "tokenizer.json")("a b a c") == 4
    (tmp_path / "tokenizer.json").write_text("no JSON")
    with pytest.raises(ConfigError, match=r"is no tokenizer\.json"):
        counting(tmp_path / "tokenizer.json")


def test_mistrals_own(tmp_path: Path):
    pytest.importorskip("mistral_common", reason="the package mistral-common is not installed")
    own = Tokenizers()
    text = count_tokens("Hello world, this is", "mistral/mistral-large-latest", tokenizers=own)
    assert (text, text.exact, text.by) == (5, True, "mistral-common's tekken")
    assert count_tokens(["Hello world, this is"], "mistral-large-latest", tokenizers=own) == 8
    assert not count_tokens("Hello", "open-mixtral-8x7b", tokenizers=own).exact
    (tmp_path / "tekken.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"is no tekken\.json"):
        tekken(tmp_path / "tekken.json")


def test_without_mistrals_own(monkeypatch: pytest.MonkeyPatch):
    """An estimate, and no error: the package is an extra."""
    monkeypatch.setattr(count, "find_spec", lambda name: None)
    found = count_tokens("Hello world, this is", "mistral-large-latest", tokenizers=Tokenizers())
    assert (found.exact, found.by) == (False, "estimate: tiktoken o200k_base x 1.12 (Mistral)")
