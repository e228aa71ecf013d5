"""What the tests of the configuration share."""

import os
import re
from pathlib import Path

import pytest

from llmkit.catalog import BUILT_IN_PROVIDERS
from llmkit.config import parse_config
from llmkit.errors import ConfigError


@pytest.fixture
def parse():
    """Parse TOML text with the built-in providers and a small environment."""

    def parse(text, environ=None, **arguments):
        return parse_config(text, "llmkit.toml", environ=environ or {}, known_providers=BUILT_IN_PROVIDERS, **arguments)

    return parse


@pytest.fixture
def refuse(parse):
    """The lines of the error that TOML text gives."""

    def refuse(text, environ=None, **arguments):
        with pytest.raises(ConfigError) as caught:
            parse(text, environ, **arguments)
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None
        return str(caught.value).split("\n")

    return refuse


@pytest.fixture
def blocks():
    """The fenced blocks of one requirement document; skips where the documents are not at hand."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "requirements"
    folder = Path(os.environ.get("LLMKIT_REQUIREMENTS", beside))

    def blocks(document, language):
        if not folder.is_dir():
            pytest.skip("the requirement documents are not here")
        return re.findall(rf"```{language}\n(.*?)```", (folder / document).read_text(encoding="utf-8"), re.DOTALL)

    return blocks
