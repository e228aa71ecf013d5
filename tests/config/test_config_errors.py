"""Every mistake is one error that says where, what was expected, and no secret."""

import copy
import pickle
import random
import time

import pytest

from llmkit.catalog import BUILT_IN_PROVIDERS
from llmkit.config import Settings, parse_config, read_config
from llmkit.errors import ConfigError, Problem

INSTANCE = '[[instances]]\nprovider = "openai"\nmodel = "m"\n'
BACKEND = '[[executors.backends]]\nname = "b"\ntype = "openai"\nmodels = ["m"]\n'

GOLDEN = [
    ("[setings]", "1:1: setings: unknown key; did you mean 'settings'?"),
    (
        "zzz = 1",
        "1:1: zzz: unknown key; expected one of: cache, executors, instances, llm_client, logging, models, providers, settings,"
        " tasks",
    ),
    ("settings = 3", "1:1: settings: expected a table, got 3"),
    ("instances = [1]", "1:1: instances: expected an array of tables, got an array"),
    (
        '[settings]\nstrategy = "lrru"',
        "2:1: settings.strategy: expected a strategy (cheapest, fastest, latency, least_connections, least_recently_used,"
        " lowest_latency, lru, priority, quality, random, round_robin, usage, weighted), got 'lrru'; did you mean 'lru'?",
    ),
    ("[settings]\nretries = -1", "2:1: settings.retries: expected a whole number of at least 0, got -1"),
    ("[settings]\nretries = true", "2:1: settings.retries: expected a whole number of at least 0, got true"),
    ("[settings]\nretries = 1.5", "2:1: settings.retries: expected a whole number of at least 0, got 1.5"),
    ("[settings]\ntimeout = inf", "2:1: settings.timeout: expected a number above 0, got a number"),
    ("[settings]\ntimeout = 2024-01-01", "2:1: settings.timeout: expected a number above 0, got a date"),
    (
        f"[settings]\nmax_pending = {'9' * 400}",
        "2:1: settings.max_pending: expected a whole number of at least 1, got a whole number",
    ),
    (
        "[settings]\nretries = 1\nmax_retries = 1",
        "3:1: settings.max_retries: expected one of retries and max_retries, which mean the same",
    ),
    (
        "[settings]\nretry_initial_delay = 5\nretry_max_delay = 1",
        "2:1: settings.retry_initial_delay: expected at most retry_max_delay",
    ),
    ("[settings]\ncache = 5", "2:1: settings.cache: expected a non-empty string, true or false, got 5"),
    (
        '[settings]\ncache = "memcached://h"',
        "2:1: settings.cache: expected memory, a registered name, or a URL of redis, rediss, unix, sqlite",
    ),
    ("[cache]\nttl = 0", "2:1: cache.ttl: expected a number above 0, got 0"),
    (
        "[cache]\nmax_entrys = 1",
        "2:1: cache.max_entrys: unknown key; did you mean 'max_entries'?",
    ),
    ('[settings]\ndebug_folder = "d"', "2:1: settings.debug_folder: this version of llmkit does not have this setting"),
    (
        '[settings]\nunavailable = "wiat"',
        "2:1: settings.unavailable: expected one of wait, fail, got 'wiat'; did you mean 'wait'?",
    ),
    ('[settings]\nproxy = "ftp://x"', "2:1: settings.proxy: expected env, none, or a URL such as http://host:3128"),
    (
        '[settings]\nfallbacks = [\n  "gpt-4o",\n  "openai/gpt-4o"]',
        "2:1: settings.fallbacks[1]: expected a model or instance that comes once; fallback 1 is the same",
    ),
    (
        '[settings]\ndefault_model = "gpt-4o"\nfallbacks = ["openai/gpt-4o"]',
        "3:1: settings.fallbacks[0]: expected a model or instance that comes once; the default model is the same",
    ),
    (
        '[settings]\nfallbacks = ["bakup"]\n' + INSTANCE + 'name = "backup"',
        "2:1: settings.fallbacks[0]: expected provider/model or the name of an instance, got 'bakup'; did you mean 'backup'?",
    ),
    (
        '[settings]\nfallback = "qeue"',
        "2:1: settings.fallback: expected 'queue', 'reject', or a Secondary, Degrade, Queue or Reject, got 'qeue'; models go into "
        "Secondary([...]) or into fallbacks",
    ),
    ("[settings]\nfallback = 5", "2:1: settings.fallback: expected queue, reject, a table with a type, or an array of them, got 5"),
    (
        '[[settings.fallback]]\ntype = "queue"\n[[settings.fallback]]\ntype = "degrade"\nmax_tokens = 0',
        "3:1: settings.fallback[1]: expected a whole number of at least 1, got 0",
    ),
    (
        '[settings]\nfallback = { type = "secondary", models = ["nobody"] }',
        "2:1: settings.fallback: expected provider/model or the name of an instance, got 'nobody'",
    ),
    (
        '[settings]\ncontext_fallbacks = ["nobody"]',
        "2:1: settings.context_fallbacks[0]: expected provider/model or the name of an instance, got 'nobody'",
    ),
    ("[settings]\n[settings.timeouts]\n\tconect = 1", "3:2: settings.timeouts.conect: unknown key; did you mean 'connect'?"),
    ("[settings.timeouts]\nidle = 0", "2:1: settings.timeouts.idle: expected a number above 0, got 0"),
    ("settings.timeouts.idle = 0", "1:1: settings.timeouts.idle: expected a number above 0, got 0"),
    ("[[tasks]]\nmax_tokens = 1", "1:1: tasks[0]: expected the key 'name'"),
    ('[[tasks]]\nname = "a"\nmax_token = 1', "3:1: tasks[0].max_token: unknown key; did you mean 'max_tokens'?"),
    ('[[tasks]]\nname = "a"\ntop_p = 2', "3:1: tasks[0].top_p: expected a number from 0 to 1, got 2"),
    ('[[tasks]]\nname = "a"\nwhen = 2024-01-01', "3:1: tasks[0].when: expected a value that JSON has, got a date"),
    ('[[tasks]]\nname = "a"\n[[tasks]]\nname = "a"', "4:1: tasks[1].name: expected a name of its own; an earlier task has it"),
    ('[[tasks]]\nname = ""', "2:1: tasks[0].name: expected a non-empty string, got an empty string"),
    (INSTANCE.replace('model = "m"\n', ""), "1:1: instances[0]: expected the key 'model'"),
    (INSTANCE + 'api_key = "a"\napi_keys = ["b"]', "5:1: instances[0].api_keys: expected one of api_key and api_keys"),
    (
        INSTANCE + 'api_keys = ["a", "b", "a", " "]',
        "4:1: instances[0].api_keys: keys 1 and 3 are the same; key 4: the key is empty",
    ),
    (
        INSTANCE + 'api_key = "a b"',
        "4:1: instances[0].api_key: the key holds a space, a control character or a non-ASCII character",
    ),
    (
        INSTANCE + 'api_key = "${NO_SUCH}"',
        "4:1: instances[0].api_key: environment variable 'NO_SUCH' is not set; set it with: export NO_SUCH=...",
    ),
    (
        INSTANCE + 'enabled = false\napi_key = "${EMPTY}"',
        '5:1: instances[0].api_key: expected a key, got an empty environment variable; api_key = "" says "no key"',
    ),
    (
        INSTANCE + 'name = "${NOT CLOSED"',
        "4:1: instances[0].name: expected ${NAME} or ${NAME:-default}; write $$ for a dollar sign",
    ),
    (
        INSTANCE + 'base_url = "http://llm.example/v1"',
        "4:1: instances[0].base_url: http:// to llm.example would send the key in the clear; use https:// or allow_http = true",
    ),
    (INSTANCE + 'base_url = "llm.example"', "4:1: instances[0].base_url: expected a URL such as https://host/v1"),
    (
        INSTANCE + 'tasks = ["sumary"]',
        "4:1: instances[0].tasks[0]: expected the name of a task in this file (none), got 'sumary'",
    ),
    (
        INSTANCE + 'headers = { "X A" = "b" }',
        "4:1: instances[0].headers: '...' is no valid HTTP header (visible ASCII, no line breaks)",
    ),
    (INSTANCE + "options = { seed = 'x' }", "4:1: instances[0].options.seed: expected a whole number, got 'x'"),
    (INSTANCE + "wieght = 1", "4:1: instances[0].wieght: unknown key; did you mean 'weight'?"),
    (
        (INSTANCE + 'name = "n"\n') * 2,
        "8:1: instances[1].name: expected a name of its own; an earlier instance has it",
    ),
    (
        INSTANCE.replace("openai", "opnai").replace("provider", "\t'provider'"),
        f"2:2: instances[0].provider: expected a provider ({', '.join(BUILT_IN_PROVIDERS)}), got 'opnai'; did you mean 'openai'?",
    ),
    ('[[providers]]\ntype = "openai"\nmodle = "m"\nmodel = "m"', "3:1: providers[0].modle: unknown key; did you mean 'model'?"),
    (
        '[[providers]]\ntype = "openai"\nmodel = "m"\nendpoint = "http://a.b"',
        "4:1: providers[0].endpoint: http:// to a.b would send the key in the clear; use https:// or allow_http = true",
    ),
    ("[llm_client]\ntimeout_secs = 1", "1:1: llm_client: expected the key 'backend'"),
    (
        BACKEND.replace('["m"]', "[]"),
        "4:1: executors.backends[0].models: expected an array of non-empty strings, at least one, got an array",
    ),
    (
        BACKEND + '[[executors.load_balancing.weights]]\nbackend = "c"\nweight = 1',
        "6:1: executors.load_balancing.weights[0].backend: expected the name of a backend (b), got 'c'",
    ),
    (
        '[settings]\nstrategy = "lru"\n[executors.load_balancing]\nstrategy = "lru"',
        "4:1: executors.load_balancing.strategy: expected one strategy; settings.strategy names one too",
    ),
    (
        '[logging]\nlevel = "loud"',
        "2:1: logging.level: expected one of trace, debug, info, warn, warning, error, critical, got 'loud'",
    ),
    ("[settings\n", "1:10: not valid TOML: expected ']' at the end of a table declaration"),
    ("x = 1\nx = 2", "2:6: not valid TOML: cannot overwrite a value"),
    ("a = [[", "1:7: not valid TOML: invalid value"),
    ("a = " + "[" * 100_000, "1:1: not valid TOML: expected fewer arrays and tables inside each other"),
    ("#" * (1 << 20) + "#", " expected a configuration of at most 1048576 bytes"),
]


@pytest.mark.parametrize(("text", "line"), GOLDEN, ids=[line[:60] for _, line in GOLDEN])
def test_one_mistake_gives_one_line(refuse, text, line):
    assert refuse(text, {"EMPTY": ""}) == [f"llmkit.toml:{line}"]


def test_all_mistakes_of_a_file_come_at_once_and_in_its_order(refuse):
    text = '[settings]\ntimeout = 0\n[[tasks]]\nname = 5\n[[instances]]\nprovider = "openai"\nmodel = ""\nrpm = 0\n'
    assert [line.split(": ")[0] for line in refuse(text)] == [f"llmkit.toml:{place}" for place in ("2:1", "4:1", "7:1", "8:1")]


def test_the_error_holds_its_problems_and_pickles(parse):
    with pytest.raises(ConfigError) as caught:
        parse("[settings]\r\n\r\ntimeout = 0")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == (Problem("llmkit.toml", 3, 1, "settings.timeout", "expected a number above 0, got 0"),)
    assert str(again) == str(caught.value)


def test_thousands_of_mistakes_are_counted_and_quick(refuse):
    text = "\n".join(f"wrong_{number} = 1" for number in range(5000))
    started = time.process_time()
    lines = refuse(text)
    assert time.process_time() - started < 2
    assert len(lines) == 101
    assert lines[-1] == "llmkit.toml: and 4900 more"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[settings]\ntimeout = 5 # \xff", ":2:15: expected UTF-8 text, got other bytes"),
        (b"\x7fELF\x00\x01", ":1:1: not valid TOML: "),
        (b"a = 1\n" * 2_000_000, ": expected a configuration of at most 1048576 bytes"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, data, said):
    file = tmp_path / "llmkit.toml"
    file.write_bytes(data)
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    assert time.process_time() - started < 0.5
    assert said in str(caught.value)
    assert caught.value.__context__ is None


KEYS = (
    "sk-proj-" + "Zq8" * 10,
    "Zk" + "aBcDeFgHiJ" * 3,
    "3f2a9c1e-77b0-4d61-9a55-0c1d2e3f4a5b",
    "hunterhunterhunterhunter",
    "AIza" + "Sy0" * 12,
)
GOOD = """
[settings]
strategy = "lru"
retries = 1
timeout = 5.0
timeouts = { connect = 3 }
unavailable = "wait"
fallbacks = ["gpt-4o", "spare"]
proxy = "http://proxy.example:3128"
on_unsupported = "warn"
plugins = ["metrics"]
default_model = "gpt-4o-mini"
[[tasks]]
name = "summary"
max_tokens = 500
stop = ["END"]
response_format = "json"
[[instances]]
provider = "openai"
model = "gpt-4o"
name = "spare"
api_key = "first-key"
tasks = ["summary"]
weight = 2
headers = { X-Team = "search" }
options = { temperature = 0.1 }
[[instances]]
provider = "openai"
model = "gpt-4o"
api_keys = ["one-key", "two-key"]
base_url = "https://llm.example/v1"
[[providers]]
type = "ollama"
model = "llama3"
endpoint = "http://localhost:11434"
[llm_client]
backend = "lmstudio"
base_url = "http://localhost:1234/v1"
timeout_secs = 300
[[executors.backends]]
name = "primary"
type = "openai"
models = ["gpt-4"]
[executors.load_balancing]
strategy = "weighted"
[[executors.load_balancing.weights]]
backend = "primary"
weight = 70
[logging]
level = "debug"
targets = ["llmkit"]
"""
GOOD = GOOD.replace('strategy = "weighted"\n', "failure_threshold = 3\n")


def outcome(text, environ=None):
    """The settings in TOML text, or the error."""
    try:
        return parse_config(text, "f.toml", environ=environ or {}, known_providers=BUILT_IN_PROVIDERS)
    except ConfigError as error:
        return error


def said_by(result):
    """All that can be read about a result, without what the user's own settings hold."""
    if isinstance(result, Settings):
        return "".join(result.ignored)
    assert result.__context__ is None
    assert result.problems
    return str(result) + repr(result) + repr(vars(result))


@pytest.mark.parametrize("key", KEYS, ids=["prefixed", "letters", "uuid", "word", "google"])
def test_a_key_in_any_position_is_never_said(parse, key):
    """As every value, as every key, as every table's name, and as what a variable holds."""
    parse(GOOD)
    lines = GOOD.split("\n")
    for number, line in enumerate(lines):
        name, equals, value = line.partition(" = ")
        planted = [line.replace(name, f'"{key}"') if equals else f"[{key}]"]
        if equals:
            planted += [f'{name} = "{key}"', f'{name} = ["{key}"]', f'{name} = {{ "{key}" = "{key} " }}', f'{name} = "${{K}}"']
            planted += [f'{name} = "${{{key}}}"', f'{name} = "http://{key}@x/"', f'{name} = "http://{key}/"', f"{name} = {key}"]
            planted += [
                f'{name} = "http://x.example/{key}"',
                f'{name} = "{key}',
                line + f' "{key}"',
                f"'{key}' = {value}\n" * 2,
            ]
        for text in planted:
            for before in ("", "zzz = 1\n"):
                said = said_by(outcome(before + "\n".join([*lines[:number], text, *lines[number + 1 :]]), {"K": key}))
                assert key not in said
                assert key.lower() not in said


def test_two_hundred_mutations_give_settings_or_one_quick_error():
    chance = random.Random(24)
    refused = 0
    for _ in range(200):
        text = list(GOOD)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            what = chance.choice(
                ["", "\x00", "\t", '"', "[", "]]", "=", "\n", "\r", "${NO_SUCH}", "é", "-1", "#", "{", "name = 1\n"]
            )
            text[place : place + chance.randint(0, 12)] = what
        started = time.process_time()
        result = outcome("".join(text))
        assert time.process_time() - started < 0.1
        if isinstance(result, Settings):
            continue
        refused += 1
        assert result.problems
        assert all(problem.line >= 1 and problem.column >= 1 for problem in result.problems)
        assert str(result).count("f.toml:") == len(result.problems)
    assert refused > 150


def test_a_mistake_leaves_the_caller_with_nothing(parse):
    """There is no half-built result to hold: the value comes whole or not at all."""
    result = None
    with pytest.raises(ConfigError):
        result = parse(GOOD.replace('type = "ollama"', 'type = "olama"'))
    assert result is None
    whole = parse(GOOD)
    assert copy.copy(whole) == whole
    assert len(whole.instances) == 5
