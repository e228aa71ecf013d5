"""What is written is what is read, and every key is found where it stands."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.catalog import BUILT_IN_PROVIDERS
from llmkit.config import parse_config
from llmkit.config.dotenv import parse_dotenv
from llmkit.config.positions import Positions
from llmkit.config.problems import Problems
from llmkit.values.instances import Instance, Task

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), min_size=1, max_size=12).filter(str.strip)
NUMBERS = st.one_of(st.integers(1, 10**6), st.floats(0.001, 1e6))
KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1, max_size=40)


def string(text):
    return json.dumps(text, ensure_ascii=False)


@st.composite
def instances(draw, tasks):
    fields = {
        "base_url": st.sampled_from(["https://llm.example/v1", "http://localhost:11434"]),
        "weight": NUMBERS,
        "rpm": st.integers(1, 10**6),
        "tpd_per_key": st.integers(1, 10**6),
        "timeout": NUMBERS,
        "enabled": st.booleans(),
        "api_key": KEYS,
        "tasks": st.lists(st.sampled_from(tasks), unique=True) if tasks else st.just([]),
        "options": st.fixed_dictionaries({}, optional={"temperature": NUMBERS, "stop": st.lists(WORDS, min_size=1, max_size=3)}),
    }
    chosen = draw(st.fixed_dictionaries({}, optional=fields))
    return {"provider": draw(st.sampled_from(BUILT_IN_PROVIDERS)), "model": draw(WORDS), **chosen}


def toml(value):
    """A value in TOML, with ``$`` doubled."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{string(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[\n  " + ", # ] comment\n  ".join(map(toml, value)) + "]" if value else "[]"
    return string(value.replace("$", "$$")) if isinstance(value, str) else json.dumps(value)


def document(tables, name):
    return "".join(f"[[{name}]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items()) for table in tables)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_instances_and_tasks_survive_a_file(data):
    names = data.draw(st.lists(WORDS, unique=True, max_size=3))
    tasks = [{"name": name, "max_tokens": number} for number, name in enumerate(names)]
    made = data.draw(st.lists(instances(names), max_size=4))
    text = document(tasks, "tasks") + document(made, "instances")
    read = parse_config(text, environ={}, known_providers=BUILT_IN_PROVIDERS)
    assert read.instances == tuple(Instance(**table) for table in made)
    assert read.tasks == tuple(Task(**table) for table in tasks)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(WORDS, st.one_of(WORDS, NUMBERS, st.lists(WORDS, max_size=3), st.dictionaries(WORDS, WORDS, max_size=2))))
)
def test_every_key_is_found_on_its_line(pairs):
    text, expected = "", {}
    for number, (key, value) in enumerate(pairs):
        quoted = string(key)
        expected["x", number, key] = text.count("\n") + 2
        text += f"[[x]] # [y]\n{quoted} = {toml(value)} # 'comment\n"
    positions = Positions(text)
    assert {path: positions.of(path)[0] for path in expected} == expected


def test_keys_of_every_spelling_are_found():
    text = (
        "a.b.c = 1\n"
        "'q.r' . \"s\\u0041\" = 2\n"
        'm = """\n[no]\nx = 1 \\""" "" """"\n'
        "l = '''\n]['''\n"
        "arr = [ [1, 2], # ]\n  { y = '}' },\n]\n"
        "\t[t.u]\n"
        "  k = 'v'\n"
        "[[t.v]]\nk = 1\n"
        "[[t.v]]\nk = 2\n"
        "[t.v.w]\nk = 3\n"
        "[[t.v.z]]\nk = 4\n"
    )
    places = {
        ("a",): (1, 1),
        ("a", "b", "c"): (1, 1),
        ("q.r", "sA"): (2, 1),
        ("m",): (3, 1),
        ("l",): (6, 1),
        ("arr", 1, "y"): (8, 1),
        ("t", "u"): (11, 2),
        ("t", "u", "k"): (12, 3),
        ("t", "v", 0): (13, 1),
        ("t", "v", 0, "k"): (14, 1),
        ("t", "v", 1, "k"): (16, 1),
        ("t", "v", 1, "w", "k"): (18, 1),
        ("t", "v", 1, "z", 0, "k"): (20, 1),
        ("nowhere",): (1, 1),
    }
    positions = Positions(text)
    assert {path: positions.of(path) for path in places} == places


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_characters="\x00\n\r")),
    )
)
def test_quoted_variables_survive_an_env_file(variables):
    problems = Problems(".env")
    lines = []
    for name, value in variables.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{escaped}" # comment')
    found = parse_dotenv("\n".join(lines), problems)
    assert {name: value for name, (value, _) in found.items()} == variables
