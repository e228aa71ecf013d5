"""flyllm's builder steps."""

import inspect

import attrs
import pytest

from llmkit import AsyncClient, Client
from llmkit.config import Builder, Settings
from llmkit.errors import ConfigError, InvalidRequestError
from llmkit.values.instances import Instance, Task


def same(settings):
    return settings


def test_the_steps_of_flyllm():
    settings = (
        Builder(same)
        .define_task(Task("summary").with_max_tokens(500).with_param("temperature", 0.3))
        .define_task(Task("qa"))
        .strategy("latency")
        .max_retries(2)
        .add_instance("openai", "gpt-4o", "a-key")
        .supports_many(["summary", "qa"])
        .add_instance("TogetherAI", "llama", "")
        .supports("summary")
        .supports("qa")
        .supports("qa")
        .enabled(False)
        .custom_endpoint("http://localhost:11434/api/chat")
        .build()
    )
    assert settings == Settings(
        tasks=(Task("summary", max_tokens=500, temperature=0.3), Task("qa")),
        strategy="lowest_latency",
        retries=2,
        instances=(
            Instance("openai", "gpt-4o", api_key="a-key", tasks=["summary", "qa"]),
            Instance("together", "llama", tasks=["summary", "qa"], enabled=False, base_url="http://localhost:11434/api/chat"),
        ),
    )


def test_build_gives_what_the_factory_makes():
    assert Builder(lambda settings: len(settings.instances)).add_instance("openai", "m").build() == 1


def test_a_strategy_object_is_kept():
    strategy = object()
    assert Builder(same).strategy(strategy).build().to_kwargs() == {"strategy": strategy}


@pytest.mark.parametrize(
    ("step", "arguments"),
    [("supports", ["a"]), ("supports_many", [["a"]]), ("enabled", [True]), ("custom_endpoint", ["https://a/b"])],
)
def test_a_step_of_an_instance_needs_one(step, arguments):
    with pytest.raises(ConfigError, match="call add_instance first"):
        getattr(Builder(same), step)(*arguments)


def test_an_undefined_task_is_told_at_build():
    builder = Builder(same).add_instance("openai", "m").supports("sumary").define_task(Task("summary")).define_task(Task("qa"))
    with pytest.raises(ConfigError) as caught:
        builder.build()
    assert str(caught.value) == (
        "supports: openai/m serves the task 'sumary', which is not defined (defined: qa, summary); did you mean 'summary'?"
    )


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (lambda builder: builder.define_task(Task("a")).define_task(Task("a")).build(), "defined more than once: a"),
        (lambda builder: builder.define_task("a"), "expected a Task, got str"),
        (lambda builder: builder.max_retries(-1), "max_retries: expected a whole number of at least 0, got -1"),
        (lambda builder: builder.add_instance(5, "m"), "provider: expected a non-empty string"),
        (lambda builder: builder.add_instance("openai", "m").supports_many([Task("a")]), "expected the name of a task"),
        (lambda builder: builder.add_instance("openai", "m").custom_endpoint("http://far.example"), "in the clear"),
    ],
)
def test_wrong_steps(steps, said):
    with pytest.raises(ConfigError) as caught:
        steps(Builder(same))
    assert said in str(caught.value)


def test_tasks_grow_by_new_values():
    task = Task("a", top_k=1)
    grown = task.with_param("top_k", 2).with_param("min_p", 0.1).with_temperature(0.9).with_max_tokens(7)
    assert task == Task("a", top_k=1)
    assert grown == Task("a", top_k=2, min_p=0.1, temperature=0.9, max_tokens=7)
    with pytest.raises(InvalidRequestError, match="temperature"):
        task.with_temperature(-1)


@pytest.mark.parametrize("face", [Client, AsyncClient])
def test_every_setting_is_a_parameter_of_the_clients(face):
    settings = {field.name for field in attrs.fields(Settings)} - {"logging", "ignored"}
    assert settings <= set(inspect.signature(face).parameters)
