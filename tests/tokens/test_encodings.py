"""The vocabularies in the package are OpenAI's, byte for byte, and need no network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tiktoken
from tiktoken import registry

from llmkit import ConfigError
from llmkit.tokens import encodings
from llmkit.tokens.encodings import RECIPES, SHA256, get_encoding, made, ranks
from llmkit.tokens.packed import pack, unpack

DATA = Path(encodings.__file__).parent / "data"
MOST_BYTES = 1_250_000


def published(name: str) -> bytes:
    """OpenAI's file, written again from what ships with llmkit."""
    recipe = next(recipe for recipe in RECIPES.values() if recipe.source == name)
    return b"".join([base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks(recipe).items()])


@pytest.mark.parametrize("name", SHA256)
def test_ranks_are_openais(name: str):
    """The SHA-256 is the one that tiktoken expects of the file it downloads."""
    assert hashlib.sha256(published(name)).hexdigest() == SHA256[name]


def test_the_hashes_are_tiktokens():
    source = Path(sys.modules["tiktoken"].__file__).parents[1].joinpath("tiktoken_ext", "openai_public.py").read_text()
    for name, digest in SHA256.items():
        assert encodings.ADDRESS.format(name) in source
        assert digest in source


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "gpt2"])
def test_recipes_are_tiktokens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Patterns, special tokens and ranks are those that tiktoken makes of OpenAI's file."""
    recipe = RECIPES[name]
    address = encodings.ADDRESS.format(recipe.source)
    (tmp_path / hashlib.sha1(address.encode()).hexdigest()).write_bytes(published(recipe.source))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    from tiktoken_ext import openai_public

    theirs = getattr(openai_public, name)()
    assert (recipe.pattern, dict(recipe.special)) == (theirs["pat_str"], theirs["special_tokens"])
    assert ranks(recipe) == theirs["mergeable_ranks"]


def test_gpt2_is_r50k():
    """tiktoken makes it of another pair of files, with the same result."""
    assert ranks(RECIPES["gpt2"]) == ranks(RECIPES["r50k_base"])


def test_the_data_is_small():
    assert sum([file.stat().st_size for file in DATA.glob("*.ranks")]) < MOST_BYTES


def test_pack_and_unpack():
    tokens = [bytes([byte]) for byte in range(256)] + [b"ab", b"abc", b"abcab"]
    assert unpack(pack(tokens)) == tokens
    with pytest.raises(ValueError, match="not made of two"):
        pack([*tokens, b"zzz"])
    with pytest.raises(ValueError, match="single bytes"):
        pack([b"ab", *tokens])
    for damaged in (pack(tokens)[:-9], b"", b"x" * 400):
        with pytest.raises(ValueError, match="damaged"):
            unpack(damaged)


def fresh(code: str, **environ: str) -> object:
    """What ``code`` prints as JSON in a fresh interpreter whose sockets are out of order."""
    head = f"""
import sys, json, socket
sys.path[:0] = {sys.path!r}
def refuse(*_, **__):
    raise SystemExit("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""
    clean = {name: value for name, value in os.environ.items() if name not in encodings.CACHE_FOLDERS}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", head + code], capture_output=True, text=True, timeout=100, env={**clean, **environ}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_network_is_needed():
    """Also where an empty cache folder is named, which tiktoken would fill by downloading."""
    code = "import llmkit\nprint(json.dumps(llmkit.count_tokens('tiktoken is great!', 'gpt-4o')))"
    assert fresh(code) == fresh(code, TIKTOKEN_CACHE_DIR="/nonexistent") == 6


def test_a_cached_file_is_used(tmp_path: Path):
    """tiktoken then has the encoding too, once in memory; a file that is not OpenAI's is left alone."""
    file = tmp_path / hashlib.sha1(encodings.ADDRESS.format("r50k_base").encode()).hexdigest()
    code = """
from llmkit.tokens.encodings import get_encoding
from tiktoken import registry
get_encoding("r50k_base")
print(json.dumps(sorted(registry.ENCODINGS)))
"""
    file.write_bytes(published("r50k_base"))
    assert fresh(code, TIKTOKEN_CACHE_DIR=str(tmp_path)) == ["r50k_base"]
    file.write_bytes(b"rubbish")
    assert fresh(code, TIKTOKEN_CACHE_DIR=str(tmp_path)) == []
    assert file.read_bytes() == b"rubbish"


def test_an_encoding_that_is_loaded_is_used(monkeypatch: pytest.MonkeyPatch):
    own = tiktoken.Encoding("mine", pat_str=r"\S+|\s+", mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={})
    monkeypatch.setitem(registry.ENCODINGS, "mine", own)
    monkeypatch.setattr(encodings, "_loaded", {})
    assert get_encoding("mine") is own


def test_an_unknown_encoding():
    with pytest.raises(ConfigError, match=r"'o300k'.*o200k_base"):
        get_encoding("o300k")


def test_loading_from_many_threads(monkeypatch: pytest.MonkeyPatch):
    """It is loaded once, and everybody gets the same."""
    monkeypatch.setattr(encodings, "_loaded", {})
    loads = []
    monkeypatch.setattr(encodings, "made", lambda name, recipe: (loads.append(name), made(name, recipe))[1])
    found = []
    threads = [threading.Thread(target=lambda: found.append(get_encoding("r50k_base"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["r50k_base"]
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
