"""Files of every shape, read right."""

import os

import pytest

from llmkit.config import Logging, read_config
from llmkit.config.settings import Settings
from llmkit.errors import ConfigError
from llmkit.plugins import registry
from llmkit.policy.routes import ANY_MODEL
from llmkit.values.fallbacks import Degrade, Queue, Reject, Secondary
from llmkit.values.instances import Instance, Task, Timeouts

KEY = "sk-" + "Ab3dE6gH9" * 4

OWN = """
[settings]
strategy = "Latency"
max_retries = 2
retry_initial_delay = 0.5
retry_max_delay = 30
retry_exponential_base = 2
timeout = 120
timeouts = { connect = 3, idle = 20.5 }
max_wait = 30
unavailable = "fail"
max_pending = 50
fallbacks = ["second", "anthropic/claude-3-haiku"]
proxy = "http://user:pass@proxy.example:3128"
pool_size = 20
on_unsupported = "drop"
plugins = []
default_model = "gpt-4o-mini"

[[tasks]]
name = "summary"
max_tokens = 500
stop = ["END"]
top_k = 40

[[instances]]
provider = "openai"
model = "gpt-4o-mini"
api_keys = "one-key, another-key"
tasks = ["summary"]
weight = 2.5
rpm = 60
tpm = 90000
rpd = 5000
tpd = 2000000
rpm_per_key = 30
tpm_per_key = 45000
rpd_per_key = 2500
tpd_per_key = 1000000
max_concurrency = 8
max_concurrency_per_key = 5
headers = { X-Team = "search" }
options = { temperature = 0.1, presence_penalty = 0.5 }

[[instances]]
provider = "azure-openai"
model = "gpt"
name = "second"
enabled = false
base_url = "http://gateway.internal/v1"
allow_http = true
timeout = 9
settings = { api_version = "2024-10-21" }
"""


def test_every_setting_of_its_own_shape(parse):
    settings = parse(OWN)
    assert settings == Settings(
        instances=(
            Instance(
                "openai",
                "gpt-4o-mini",
                api_keys=["one-key", "another-key"],
                tasks=["summary"],
                weight=2.5,
                rpm=60,
                tpm=90000,
                rpd=5000,
                tpd=2000000,
                rpm_per_key=30,
                tpm_per_key=45000,
                rpd_per_key=2500,
                tpd_per_key=1000000,
                max_concurrency=8,
                max_concurrency_per_key=5,
                headers={"X-Team": "search"},
                options={"temperature": 0.1, "presence_penalty": 0.5},
            ),
            Instance(
                "azure_openai",
                "gpt",
                name="second",
                enabled=False,
                base_url="http://gateway.internal/v1",
                allow_http=True,
                timeout=9,
                settings={"api_version": "2024-10-21"},
            ),
        ),
        tasks=(Task("summary", max_tokens=500, stop=["END"], top_k=40),),
        strategy="lowest_latency",
        retries=2,
        retry_initial_delay=0.5,
        retry_max_delay=30,
        retry_exponential_base=2,
        timeout=120,
        timeouts=Timeouts(connect=3, idle=20.5),
        max_wait=30,
        unavailable="fail",
        max_pending=50,
        fallbacks=("second", "anthropic/claude-3-haiku"),
        proxy="http://user:pass@proxy.example:3128",
        pool_size=20,
        on_unsupported="drop",
        plugins=(),
        default_model="gpt-4o-mini",
    )
    assert "pass@" not in repr(settings)


def test_only_what_is_set_becomes_an_argument(parse):
    settings = parse('[settings]\ntimeout = 5\nplugins = []\n[logging]\nlevel = "debug"\n')
    assert settings.to_kwargs() == {"timeout": 5, "plugins": ()}
    assert parse("").to_kwargs() == {}


FLYLLM = """
[settings]
strategy = "random"
debug_folder = "logs"
[[tasks]]
name = "chat"
temperature = 0.7
[[providers]]
type = "TogetherAI"
model = "llama"
api_key = "${KEY}"
tasks = ["chat"]
name = "spare"
[[providers]]
type = "ollama"
model = "llama3"
api_key = ""
endpoint = "http://localhost:11434"
enabled = false
"""


def test_a_flyllm_file_without_retries_gets_flyllms(parse):
    settings = parse(FLYLLM, {"KEY": KEY})
    assert settings.retries == 5
    assert settings.instances == (
        Instance("together", "llama", api_key=KEY, tasks=["chat"], name="spare"),
        Instance("ollama", "llama3", base_url="http://localhost:11434", enabled=False),
    )
    assert settings.ignored == ("settings.debug_folder: this version of llmkit writes no debug files",)
    assert parse(FLYLLM.replace('strategy = "random"', "max_retries = 1"), {"KEY": KEY}).retries == 1


def test_both_shapes_in_one_file(parse):
    settings = parse(FLYLLM + '[[instances]]\nprovider = "openai"\nmodel = "gpt-4o"\n', {"KEY": KEY})
    assert [instance.provider for instance in settings.instances] == ["openai", "together", "ollama"]


BACKENDS = """
[[executors.backends]]
name = "primary"
type = "openai"
api_key = "${KEY}"
models = ["gpt-4", "gpt-3.5-turbo"]
[[executors.backends]]
name = "local"
type = "lmstudio"
base_url = "http://localhost:1234/v1"
models = ["llama"]
[executors.load_balancing]
strategy = "weighted"
health_check_interval_secs = 30
failure_threshold = 3
[[executors.load_balancing.weights]]
backend = "primary"
weight = 70
[logging]
level = "warn"
targets = ["llmkit"]
"""


def test_backends_share_their_weight_among_their_models(parse):
    settings = parse(BACKENDS, {"KEY": KEY})
    assert [(each.name, each.model, each.weight) for each in settings.instances] == [
        ("primary/gpt-4", "gpt-4", 35),
        ("primary/gpt-3.5-turbo", "gpt-3.5-turbo", 35),
        ("local", "llama", 1),
    ]
    assert settings.strategy == "weighted"
    assert settings.logging == Logging("warning", ("llmkit",))
    assert (settings.health_interval, settings.failure_threshold) == (30, 3)
    assert settings.ignored == ()


def test_a_client_table_without_a_model_serves_any(parse):
    table = '[llm_client]\nbackend = "lmstudio"\nbase_url = "http://localhost:1234/v1"\ntimeout_secs = 300\n'
    (instance,) = parse(table).instances
    assert instance == Instance("lmstudio", ANY_MODEL, base_url="http://localhost:1234/v1", timeout=300)
    assert parse(table + 'model = "phi"').instances[0].model == "phi"


def test_the_requirements_flyllm_file_unmodified(parse, blocks):
    (text,) = [block for block in blocks("001-flyllm-readme.txt", "toml") if "[[providers]]" in block]
    names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY_SECONDARY")
    settings = parse(text, {name: f"{name}-value" for name in names})
    assert [instance.provider for instance in settings.instances] == ["openai", "anthropic", "openai", "ollama"]
    assert settings.instances[2].name == "openai-backup"
    assert settings.instances[2].api_key.reveal() == "OPENAI_API_KEY_SECONDARY-value"
    assert settings.instances[3].api_key is None
    assert settings.retries == 3
    assert [task.name for task in settings.tasks] == ["chat", "summary"]


def test_the_requirements_backend_files_unmodified(parse, blocks):
    texts = blocks("002-lloom-backends.txt", "toml")
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_API_KEY_BACKUP": KEY}
    clients = [parse(text, environ) for text in texts if "[llm_client]" in text]
    assert [(each.instances[0].provider, each.instances[0].timeout) for each in clients] == [("lmstudio", 300), ("openai", 60)]
    settings = parse("".join(text for text in texts if "[llm_client]" not in text), environ)
    assert [instance.weight for instance in settings.instances] == [35, 35, 15, 15, 1]
    assert settings.strategy == "round_robin"
    assert settings.logging.level == "debug"
    assert (settings.health_interval, settings.failure_threshold) == (30, 3)
    assert len(settings.ignored) == 1


def test_variables_are_expanded_once_and_in_values_only(parse):
    text = """
    [[tasks]]
    name = "${NAME}"
    stop = ["$$5", "${EMPTY:-a ${B}", "$ {x}", "${UNSET:-}!"]
    "${KEY}" = "x"
    """
    (task,) = parse(text, {"NAME": '${OTHER} $$ " \n[x]', "EMPTY": ""}).tasks
    assert task == Task('${OTHER} $$ " \n[x]', stop=["$5", "a ${B", "$ {x}", "!"], extra={"${KEY}": "x"})


def test_parameters_of_any_name_go_to_the_vendor(parse):
    (task,) = parse('[[tasks]]\nname = "a"\nself = 1\nmin_p = 0.1\nextra = { min_p = 0.2, max_token = 1 }').tasks
    assert task.defaults.to_dict() == {"extra": {"self": 1, "min_p": 0.2, "max_token": 1}}


def test_a_strategy_of_a_plugin(parse, refuse):
    assert parse('[settings]\nstrategy = "Thrifty"', known_strategies=["Thrifty"]).strategy == "Thrifty"
    assert "got 'Thrifty'" in refuse('[settings]\nstrategy = "Thrifty"')[0]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package whose plugin registers a strategy."""
    (tmp_path / "cheapest_plugin.py").write_text(
        "from llmkit import hookimpl\n"
        "class First:\n    def choose(self, routes, now):\n        return routes[0]\n"
        "@hookimpl\ndef llmkit_register_strategies():\n    return {'thrifty': First}\n"
    )
    info = tmp_path / "cheapest_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cheapest-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llmkit]\nthrifty = cheapest_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._found.cache_clear()
    yield
    registry._found.cache_clear()


@pytest.mark.usefixtures("package")
def test_a_strategy_of_an_installed_plugin(parse, refuse):
    """It is known without being named in advance, unless the file does not allow the plugin."""
    assert parse('[settings]\nstrategy = "thrifty"').strategy == "thrifty"
    assert "did you mean 'thrifty'" in refuse('[settings]\nstrategy = "thriffy"')[0]
    assert "expected a strategy" in refuse('[settings]\nplugins = []\nstrategy = "thrifty"')[0]


def test_byte_order_mark_tabs_and_windows_line_ends(tmp_path):
    file = tmp_path / "llmkit.toml"
    file.write_bytes(b"\xef\xbb\xbf[settings]\r\n\ttimeout\t=\t5\r\n")
    assert read_config(file).timeout == 5


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
def test_a_readable_file_with_keys_is_warned_about_once(tmp_path):
    file = tmp_path / "llmkit.toml"
    file.write_text(f'[[instances]]\nprovider = "openai"\nmodel = "m"\napi_key = "{KEY}"\n' * 2)
    file.chmod(0o640)
    with pytest.warns(UserWarning, match="chmod 600") as warned:
        read_config(file)
    assert len(warned) == 1
    assert KEY not in str(warned[0].message)
    file.chmod(0o600)
    read_config(file)


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
@pytest.mark.parametrize("key", ["${KEY}", "not-needed", ""])
def test_a_readable_file_without_keys_is_fine(tmp_path, monkeypatch, key):
    monkeypatch.setenv("KEY", KEY)
    file = tmp_path / "llmkit.toml"
    file.write_text(f'[llm_client]\nbackend = "lmstudio"\napi_key = "{key}"\n' if key else "")
    file.chmod(0o644)
    read_config(file)


@pytest.mark.parametrize("name", ["missing.toml", ".", "nul\x00.toml"])
def test_a_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        read_config(tmp_path / name)
    assert caught.value.__context__ is None
    assert len(caught.value.problems) == 1


def test_fallbacks_and_the_queue(tmp_path):
    """Each step as a table, in order; the words alone; the lists beside them."""
    file = tmp_path / "llmkit.toml"
    head = '[settings]\nqueue = "/q.sqlite"\ncontext_fallbacks = ["openai/a"]\nrefusal_fallbacks = ["openai/b"]\n'
    steps = """
[[settings.fallback]]
type = "secondary"
models = ["openai/c"]
[[settings.fallback]]
type = "degrade"
model = "openai/d"
max_tokens = 5
drop = ["tools"]
[[settings.fallback]]
type = "queue"
delay = 2.5
[[settings.fallback]]
type = "reject"
text = "no"
"""
    file.write_text(head + steps, encoding="utf-8")
    settings = read_config(file)
    assert settings.fallback == (Secondary(["openai/c"]), Degrade("openai/d", 5, ["tools"]), Queue(2.5), Reject("no"))
    assert (settings.context_fallbacks, settings.refusal_fallbacks, settings.queue) == (("openai/a",), ("openai/b",), "/q.sqlite")
    assert settings.to_kwargs()["fallback"] == settings.fallback
    file.write_text('[settings]\nfallback = ["queue", "reject"]', encoding="utf-8")
    assert read_config(file).fallback == (Queue(), Reject())
