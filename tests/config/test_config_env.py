"""Settings from the environment and .env files."""

import os

import pytest

from llmkit.catalog import BUILT_IN_PROVIDERS
from llmkit.config import Environment, base_url_for, keys_for, read_env
from llmkit.config.dotenv import parse_dotenv
from llmkit.config.problems import Problems
from llmkit.errors import ConfigError
from llmkit.values.instances import Instance

KEY = "sk-" + "Ab3dE6gH9" * 4


class OpenAI:
    key_names = ("OPENAI_API_KEY",)
    base_url_names = ("OPENAI_BASE_URL", "OPENAI_API_BASE")


class Google:
    key_names = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    base_url_names = ()


def read(environ, env_file=None):
    return read_env(environ, env_file, known_providers=BUILT_IN_PROVIDERS)


@pytest.fixture
def dotenv(tmp_path):
    def dotenv(text):
        file = tmp_path / ".env"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(0o600)
        return file

    return dotenv


def test_nothing_set_gives_nothing():
    assert read({"PATH": "/bin", "OPENAI_API_KEY": KEY, "PRIMARY_LLM": ""}).to_kwargs() == {}


def test_every_variable():
    settings = read(
        {
            "PRIMARY_LLM": "gpt-4o",
            "FALLBACK_LLM": "claude-3-haiku",
            "ENABLED_MODELS": "gpt-3.5-turbo, gpt-4o ,claude-3-haiku,gemini-pro,openrouter/meta-llama/llama-3.1-8b",
            "REQUEST_TIMEOUT": "30.0",
            "LLM_RETRY_MAX_ATTEMPTS": "0",
            "OPENAI_CONNECTION_POOL_SIZE": "10",
            "GEMINI_CONNECTION_POOL_SIZE": "20",
            "MYSQL_CONNECTION_POOL_SIZE": "99",
            "CACHE_TTL": "3600",
        }
    )
    assert settings.to_kwargs() == {
        "instances": (
            Instance("openai", "gpt-4o"),
            Instance("openai", "gpt-3.5-turbo"),
            Instance("anthropic", "claude-3-haiku"),
            Instance("google", "gemini-pro"),
            Instance("openrouter", "meta-llama/llama-3.1-8b"),
        ),
        "default_model": "openai/gpt-4o",
        "fallbacks": ("anthropic/claude-3-haiku",),
        "timeout": 30.0,
        "retries": 0,
        "pool_size": 20,
    }
    assert settings.ignored == (
        "OPENAI_CONNECTION_POOL_SIZE: one pool size serves every host; the largest, 20, is used",
        "CACHE_TTL: has no effect without CACHE_ENABLED=true",
    )


def test_a_primary_model_that_is_not_enabled_is_used_and_noted():
    settings = read({"PRIMARY_LLM": "gpt-4o", "ENABLED_MODELS": "claude-3-haiku"})
    assert [instance.model for instance in settings.instances] == ["gpt-4o", "claude-3-haiku"]
    assert settings.ignored == ("ENABLED_MODELS: lacks a model that PRIMARY_LLM names; that model is used all the same",)


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"PRIMARY_LLM": "llama3"}, "PRIMARY_LLM: expected provider/model, or a model the catalogue knows, got 'llama3'"),
        ({"PRIMARY_LLM": "gpt-4o,o3"}, "PRIMARY_LLM: expected one model"),
        ({"ENABLED_MODELS": "gpt-4o,,o3"}, "ENABLED_MODELS: model 2 of the list is empty"),
        (
            {"PRIMARY_LLM": "gpt-4o", "FALLBACK_LLM": "openai/gpt-4o"},
            "FALLBACK_LLM: expected other models than PRIMARY_LLM, each once",
        ),
        ({"REQUEST_TIMEOUT": "0"}, "REQUEST_TIMEOUT: expected a number above 0, got 0"),
        ({"REQUEST_TIMEOUT": "nan"}, "REQUEST_TIMEOUT: expected a number above 0, got another text"),
        ({"REQUEST_TIMEOUT": KEY}, "REQUEST_TIMEOUT: expected a number above 0, got another text"),
        ({"LLM_RETRY_MAX_ATTEMPTS": "-1"}, "LLM_RETRY_MAX_ATTEMPTS: expected a whole number of at least 0, got -1"),
        ({"LLM_RETRY_MAX_ATTEMPTS": "2.5"}, "LLM_RETRY_MAX_ATTEMPTS: expected a whole number of at least 0, got 2.5"),
        (
            {"OPENAI_CONNECTION_POOL_SIZE": "0"},
            "OPENAI_CONNECTION_POOL_SIZE: expected a whole number of at least 1, got 0",
        ),
        ({"PRIMARY_LLM": KEY}, "PRIMARY_LLM: expected provider/model, or a model the catalogue knows, got another name"),
    ],
)
def test_a_wrong_variable(environ, line):
    with pytest.raises(ConfigError) as caught:
        read(environ)
    assert str(caught.value) == f"environment: {line}"
    assert caught.value.__context__ is None


def test_mistakes_in_both_places_are_told_apart(dotenv):
    file = dotenv('# comment\nREQUEST_TIMEOUT=soon\nPRIMARY_LLM=gpt-4o\nQUOTE="open\nnonsense\n')
    with pytest.raises(ConfigError) as caught:
        read({"PRIMARY_LLM": "llama3"}, file)
    assert str(caught.value).split("\n") == [
        "environment: PRIMARY_LLM: expected provider/model, or a model the catalogue knows, got 'llama3'",
        f"{file}:2:1: REQUEST_TIMEOUT: expected a number above 0, got another text",
        f"{file}:4:7: QUOTE: expected a closing quote, then at most a comment",
        f"{file}:5:1: expected NAME=value",
    ]


def test_the_environment_wins_over_the_file(dotenv):
    file = dotenv(f"export REQUEST_TIMEOUT=10\nLLM_RETRY_MAX_ATTEMPTS=4\nOPENAI_API_KEY={KEY}\n")
    settings = read({"REQUEST_TIMEOUT": "20", "LLM_RETRY_MAX_ATTEMPTS": ""}, file)
    assert (settings.timeout, settings.retries) == (20.0, 4)
    assert [key.reveal() for key in keys_for(OpenAI, settings.environ)] == [KEY]
    assert KEY not in repr(settings) + str(settings.environ)


def test_the_requirements_env_file_unmodified(blocks, dotenv):
    (text,) = [block for block in blocks("003-llm-package.txt", "python") if "PRIMARY_LLM=" in block]
    settings = read({}, dotenv(text))
    assert [f"{each.provider}/{each.model}" for each in settings.instances] == [
        "openai/gpt-4o",
        "openai/gpt-3.5-turbo",
        "anthropic/claude-3-haiku",
        "google/gemini-pro",
    ]
    assert (settings.timeout, settings.retries, settings.pool_size) == (30.0, 3, 10)
    assert settings.fallbacks == ("anthropic/claude-3-haiku",)
    assert keys_for(Google, settings.environ)[0].reveal() == "your-gemini-key"
    assert base_url_for(OpenAI, settings.environ) == "https://api.openai.com/v1"
    assert settings.ignored == ()
    assert (settings.cache.url, settings.cache.ttl) == (None, 3600)


def test_a_missing_env_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read({}, tmp_path / "none.env")


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
def test_a_readable_env_file_with_keys_is_warned_about(dotenv):
    file = dotenv(f"OPENAI_API_KEYS={KEY},{KEY}x\n")
    file.chmod(0o644)
    with pytest.warns(UserWarning, match="chmod 600"):
        read({}, file)


def test_the_lines_of_an_env_file():
    problems = Problems(".env")
    text = (
        '\ufeffA=1\r\n  export B = two words # comment\nC=\'single # $X \\n\'   # comment\nD="double \\"q\\" \\n $X ${Y}"\n'
        'E=\nF=a#b\n\n#G=1\nH=#x\nA=2\nI=p$w=rd\nJ="a\\\\"\nk.l-m=1'
    )
    found = {name: value for name, (value, _) in parse_dotenv(text, problems).items()}
    assert len(problems) == 0
    assert found == {
        "A": "2",
        "B": "two words",
        "C": "single # $X \\n",
        "D": 'double "q" \n $X ${Y}',
        "E": "",
        "F": "a#b",
        "H": "",
        "I": "p$w=rd",
        "J": "a\\",
        "k.l-m": "1",
    }


def test_lists_of_keys_come_before_single_keys():
    environ = {"OPENAI_API_KEY": "single", "OPENAI_API_KEYS": " one , two\n"}
    assert [key.reveal() for key in keys_for(OpenAI, environ)] == ["one", "two"]
    assert [key.reveal() for key in keys_for(OpenAI, {**environ, "OPENAI_API_KEYS": " "})] == ["single"]
    assert [key.reveal() for key in keys_for(Google, {"GOOGLE_API_KEYS": "b", "GEMINI_API_KEY": "a"})] == ["b"]
    assert keys_for(OpenAI, {}) == ()


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"OPENAI_API_KEYS": f"{KEY},,b"}, "OPENAI_API_KEYS: key 2: the key is empty"),
        ({"OPENAI_API_KEYS": f"{KEY},b, {KEY}"}, "OPENAI_API_KEYS: keys 1 and 3 are the same"),
        ({"OPENAI_API_KEY": f"{KEY} x"}, "OPENAI_API_KEY: the key holds a space, a control character or a non-ASCII character"),
    ],
)
def test_wrong_keys_are_named_by_position(environ, line):
    with pytest.raises(ConfigError) as caught:
        keys_for(OpenAI, environ)
    assert str(caught.value) == f"environment: {line}"
    assert caught.value.__context__ is None


def test_base_urls_in_the_order_of_their_names():
    assert base_url_for(OpenAI, {"OPENAI_API_BASE": "https://b/v1", "OPENAI_BASE_URL": " "}) == "https://b/v1"
    assert base_url_for(OpenAI, {}) is None


def test_an_environment_is_a_snapshot():
    variables = {"A": "1"}
    environ = Environment(variables)
    variables["A"] = "2"
    assert dict(environ) == {"A": "1"}
    assert "1" not in repr(Environment({"A": "secret"})).replace("of 1 ", "")
