"""What answers cost: a table made by hand from the vendors' price pages, vendors' own bills, and what is not known."""

from __future__ import annotations

import copy
import logging
import pickle
from decimal import Decimal
from typing import Any

import attrs
import pytest

from llmkit import Completion, Instance, Message, ModelInfo, Price, Usage, hookimpl
from llmkit.catalog.cost import Pricer, billed, stated_units
from llmkit.catalog.store import Catalog
from llmkit.wire.codec import from_json, to_json
from llmkit.wire.http import HttpReply
from tests.support.colours import DONE, chat, chunks, data

CATALOG = Catalog()

# Each cost was worked out by hand from the vendor's printed prices, in dollars per million tokens:
# fresh prompt x input + cached x cached + written x write + completion x output, over a million.
BY_HAND = [
    # provider, model, prompt, completion, read, written, dollars
    ("openai", "gpt-4o-2024-08-06", 1000, 500, 0, 0, "0.0075"),  # 2.50, 10
    ("openai", "gpt-4o-2024-05-13", 1000, 500, 0, 0, "0.0125"),  # 5, 15
    ("openai", "gpt-4o-mini-2024-07-18", 2000, 1000, 1024, 0, "0.0008232"),  # 0.15, 0.60, cached 0.075
    ("openai", "gpt-4.1-2025-04-14", 10, 10, 0, 0, "0.0001"),  # 2, 8
    ("openai", "gpt-4.1-mini-2025-04-14", 8174, 30, 0, 0, "0.0033176"),  # 0.40, 1.60
    ("openai", "gpt-4.1-nano-2025-04-14", 1, 1, 0, 0, "0.0000005"),  # 0.10, 0.40
    ("openai", "gpt-5-2025-08-07", 10_000, 3000, 8000, 0, "0.0335"),  # 1.25, 10, cached 0.125
    ("openai", "gpt-5-mini-2025-08-07", 100, 200, 0, 0, "0.000425"),  # 0.25, 2
    ("openai", "gpt-5-nano-2025-08-07", 100, 200, 0, 0, "0.000085"),  # 0.05, 0.40
    ("openai", "gpt-5.2-2025-12-11", 16_924, 485, 0, 0, "0.036407"),  # 1.75, 14
    ("openai", "gpt-5.4-2026-03-05", 272_000, 100, 0, 0, "0.6815"),  # 2.50, 15
    ("openai", "gpt-5.4-2026-03-05", 272_001, 100, 0, 0, "1.362255"),  # above 272,000 tokens: 5, 22.50
    ("openai", "o4-mini-2025-04-16", 1000, 1000, 0, 0, "0.0055"),  # 1.10, 4.40
    ("openai", "gpt-3.5-turbo-0125", 1000, 1000, 0, 0, "0.002"),  # 0.50, 1.50
    ("openai", "gpt-4-0613", 100, 100, 0, 0, "0.009"),  # 30, 60
    ("openai", "text-embedding-3-small", 1000, 0, 0, 0, "0.00002"),  # 0.02
    ("openai", "text-embedding-3-large", 1000, 0, 0, 0, "0.00013"),  # 0.13
    ("anthropic", "claude-sonnet-4-6", 5000, 100, 3000, 1500, "0.009525"),  # 3, 15, read 0.30, write 3.75
    ("anthropic", "claude-haiku-4-5-20251001", 12, 5, 0, 0, "0.000037"),  # 1, 5
    ("anthropic", "claude-sonnet-4-20250514", 1000, 1000, 0, 0, "0.018"),  # 3, 15
    ("anthropic", "claude-3-haiku-20240307", 1000, 1000, 0, 0, "0.0015"),  # 0.25, 1.25
    ("anthropic", "claude-3-5-haiku-20241022", 1000, 1000, 0, 0, "0.0048"),  # 0.80, 4
    ("anthropic", "claude-3-opus-20240229", 1000, 1000, 0, 0, "0.09"),  # 15, 75
    ("anthropic", "claude-haiku-5-5", 100_001, 10, 0, 0, "0.0500255"),  # above 100,000 tokens: 0.50, 2.50
    ("google", "gemini-2.5-flash", 17_713, 889, 17_379, 0, "0.00284407"),  # 0.30, 2.50, cached 0.03
    ("google", "gemini-2.5-pro", 200_001, 10, 0, 0, "0.5001525"),  # above 200,000 tokens: 2.50, 15
    ("google", "gemini-2.5-flash-lite", 1000, 1000, 0, 0, "0.0005"),  # 0.10, 0.40
    ("google", "models/gemini-3-flash-preview", 1000, 1000, 0, 0, "0.0035"),  # 0.50, 3
    ("mistral", "mistral-large-latest", 1000, 1000, 0, 0, "0.002"),  # 0.50, 1.50
    ("mistral", "ministral-3b-latest", 1000, 1000, 0, 0, "0.0002"),  # 0.10, 0.10
    ("groq", "llama-3.3-70b-versatile", 1000, 1000, 0, 0, "0.00138"),  # 0.59, 0.79
    ("groq", "openai/gpt-oss-120b", 1000, 1000, 512, 0, "0.0007116"),  # 0.15, 0.60, cached 0.075
    ("xai", "grok-4.3", 200_000, 1000, 0, 0, "0.505"),  # from 200,000 tokens: 2.50, 5
    ("xai", "grok-4.3", 1000, 1000, 100, 0, "0.003645"),  # 1.25, 2.50, cached 0.20
    ("azure_openai", "gpt-4.1-mini-2025-04-14", 1000, 1000, 0, 0, "0.002"),  # 0.40, 1.60
    ("azure_openai", "gpt-4o-mini-2024-07-18", 100, 0, 300, 0, "0.0000075"),  # more cached than there is: all of it at 0.075
    ("together", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", 1000, 1000, 0, 0, "0.00036"),  # 0.18, 0.18
    ("openrouter", "anthropic/claude-haiku-4.5", 1000, 1000, 0, 0, "0.006"),  # 1, 5
]


@pytest.mark.parametrize(("provider", "model", "prompt", "completion", "read", "written", "expected"), BY_HAND)
def test_by_hand(provider: str, model: str, prompt: int, completion: int, read: int, written: int, expected: str):
    usage = Usage(prompt, completion, prompt + completion, read, written)

    assert answer_cost(provider, model, usage) == Decimal(expected)


def answer_cost(provider: str, model: str, usage: Usage | None, raw: Any = None, asked: str = "asked") -> Decimal | None:
    """What an answer of ``model`` costs."""
    answer = Completion(Message("assistant", "x"), usage=usage, model=model, raw=raw)
    return Pricer(lambda: CATALOG, provider, asked)(answer)


def test_the_table_has_enough_models():
    assert len({(provider, model) for provider, model, *_ in BY_HAND}) >= 35


@pytest.mark.parametrize(
    ("provider", "raw", "expected"),
    [
        ("openrouter", {"usage": {"cost": 0.00524}}, "0.00524"),
        ("openrouter", {"usage": {"cost": 0}}, "0"),
        ("perplexity", {"usage": {"cost": {"total_cost": 0.005243, "request_cost": 0.005}}}, "0.005243"),
        ("xai", {"usage": {"cost_in_usd_ticks": 36_450_000}}, "0.003645"),
    ],
)
def test_a_vendor_s_own_bill_is_believed(provider: str, raw: Any, expected: str):
    assert answer_cost(provider, "no-such-model", None, raw) == Decimal(expected)


@pytest.mark.parametrize(
    "raw",
    [
        None, [], "x", 5, {}, {"usage": None}, {"usage": []}, {"usage": {"cost": None}}, {"usage": {"cost": "0.1"}},
        {"usage": {"cost": -1}}, {"usage": {"cost": float("nan")}}, {"usage": {"cost": float("inf")}}, {"usage": {"cost": True}},
        {"usage": {"cost": 1e300}}, {"usage": {"cost": 10**400}}, {"usage": {"cost": {"a": 1}}},
        {"usage": {"cost": 1, "is_byok": True}},
    ],
)  # fmt: skip
def test_bills_that_make_no_sense_are_not_believed(raw: Any):
    assert stated_units((("usage", "cost"), 10**12), raw) is None
    assert answer_cost("openrouter", "anthropic/claude-haiku-4.5", Usage(1000, 1000), raw) == Decimal("0.006")


def test_cohere_charges_for_billed_units():
    """As its answers tell them: fewer than the tokens that the model read and wrote."""
    charged, counted = {"input_tokens": 44, "output_tokens": 28}, {"input_tokens": 1476, "output_tokens": 58}
    raw = {"usage": {"billed_units": charged, "tokens": counted}}
    usage = Usage(1476, 58, 1534, cache_read_tokens=1376)

    assert answer_cost("cohere", "command-a-03-2025", usage, raw) == Decimal("0.00039")  # 2.50, 10
    assert answer_cost("cohere", "command-a-03-2025", usage, {"delta": raw}) == Decimal("0.00039")
    assert answer_cost("cohere", "embed-v4.0", None, {"meta": {"billed_units": {"input_tokens": 100}}}) == Decimal("0.000012")
    for wrong in (None, [], {}, {"usage": {"billed_units": {"input_tokens": -1}}}, {"meta": {"billed_units": {"images": 1}}}):
        assert billed(wrong) is None
        assert answer_cost("cohere", "command-a-03-2025", usage, wrong) is None


def test_anthropic_s_hour_costs_more():
    usage = Usage(3000, 0, 3000, cache_write_tokens=2000)
    raw = {"usage": {"cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1500}}}

    assert answer_cost("anthropic", "claude-sonnet-4-5", usage, raw) == Decimal("0.013875")  # 1000 x 3 + 500 x 3.75 + 1500 x 6
    assert answer_cost("anthropic", "claude-sonnet-4-5", usage, {}) == Decimal("0.0105")


@pytest.mark.parametrize(
    ("provider", "model", "raw"),
    [
        ("openai", "gpt-4o-audio-preview-2024-12-17", {"usage": {"completion_tokens_details": {"audio_tokens": 50}}}),
        ("google", "gemini-2.5-flash", {"usageMetadata": {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 32}]}}),
    ],
)
def test_sound_has_another_price_than_text(provider: str, model: str, raw: Any):
    """Usage does not tell how much of it was sound, so there is no cost, rather than a wrong one."""
    assert answer_cost(provider, model, Usage(10, 100), raw) is None
    assert answer_cost(provider, model, Usage(10, 100), {"usage": {"completion_tokens_details": {"audio_tokens": 0}}}) is not None


@pytest.mark.parametrize(
    ("provider", "model", "raw"),
    [
        ("openai", "gpt-4o", {"service_tier": "priority"}),
        ("openai", "gpt-5", {"service_tier": "flex"}),
        ("azure_openai", "gpt-4o", {"service_tier": "priority"}),
        ("anthropic", "claude-opus-4-7", {"usage": {"speed": "fast"}}),
        ("anthropic", "claude-opus-4-7", {"usage": {"inference_geo": "us"}}),
        ("anthropic", "claude-opus-4-7", {"usage": {"service_tier": "batch"}}),
    ],
)
def test_another_tier_has_another_price(provider: str, model: str, raw: Any):
    usual = {"service_tier": "default", "usage": {"service_tier": "standard", "inference_geo": "global", "speed": "standard"}}

    assert answer_cost(provider, model, Usage(10, 10), raw) is None
    assert answer_cost(provider, model, Usage(10, 10), usual) is not None


def test_the_price_is_that_of_the_model_that_answered():
    assert answer_cost("openai", "gpt-4o-2024-05-13", Usage(10**6), asked="gpt-4o") == 5
    assert answer_cost("openrouter", "some/slug-of-its-own", Usage(10**6), asked="openai/gpt-4o") == Decimal("2.5")
    assert answer_cost("azure_openai", "gpt-4o-2024-08-06", Usage(10**6), asked="my-deployment") == Decimal("2.5")
    assert answer_cost("azure_openai", "something-else", Usage(10**6), asked="gpt-4o") is None  # a deployment's name says nothing


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "no-such-model", Usage(1, 1)),
        ("openai", "gpt-4o", None),
        ("ollama", "llama3.2", Usage(1, 1)),
        ("deepseek", "deepseek-flash", Usage(1, 1)),  # the hour decides
        ("perplexity", "sonar", Usage(1, 1)),  # each request costs something too
        ("mistral", "open-mistral-nemo", Usage(1, 1)),  # the sources do not agree
    ],
)
def test_what_is_not_known_is_none(provider: str, model: str, usage: Usage | None):
    assert answer_cost(provider, model, usage, asked=model) is None


# ------------------------------------------------------------------------------------------------- on answers


def client(colour: Any, reply: HttpReply, model: str = "gpt-4o", **settings: Any) -> Any:
    """A client of one of OpenAI's models that is always answered with ``reply``."""
    return colour.scripted(lambda request: reply, [Instance("openai", model, api_key="k")], **settings)


USED = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}


def test_a_whole_answer(colour: Any):
    answer = client(colour, chat("hi", usage=USED, model="gpt-4o-2024-05-13")).generate("Hi")

    assert "cost" not in vars(answer)  # nobody has asked yet
    assert answer.cost == Decimal("0.0125")
    assert "0.0125" in repr(answer)


def test_an_answer_s_cost_goes_with_it(colour: Any):
    made = client(colour, chat("hi", usage=USED, model="gpt-4o"))
    copies = [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it)), lambda it: attrs.evolve(it, id="x")]
    for twin in (*copies, lambda it: from_json(to_json(it), Completion)):
        answer = made.generate("Hi")
        assert twin(answer).cost == Decimal("0.0075")
        assert "_pricer" not in vars(twin(answer))


def test_a_cost_that_was_given_stays():
    assert Completion(Message("assistant", "x"), cost=Decimal(7)).cost == 7
    assert Completion(Message("assistant", "x")).cost is None


def test_a_stream(colour: Any):
    model = "gpt-4o-2024-08-06"
    end = data(model=model, choices=[{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}])
    reply = chunks(end=(end, data(model=model, choices=[], usage=USED), DONE))
    with client(colour, reply).stream("Hi") as stream:
        answer = stream.completion()

    assert answer.cost == Decimal("0.0075")


def test_one_s_own_price(colour: Any):
    own = [ModelInfo("gpt-4o", "openai", price=Price.of(input=1, output=1))]
    answer = client(colour, chat("hi", usage=USED, model="gpt-4o-2024-08-06"), models=own).generate("Hi")

    assert answer.cost == Decimal("0.0015")


def test_a_plugin_s_price_and_one_s_own_before_it(colour: Any):
    class Plugin:
        @hookimpl
        def llmkit_register_models(self) -> list[ModelInfo]:
            return [ModelInfo("gpt-4o", "openai", price=Price.of(input=1, output=1)), ModelInfo("m", "openai", context_window=5)]

    reply = chat("hi", usage=USED, model="gpt-4o")
    made = client(colour, reply, plugins=[Plugin()])
    own = [ModelInfo("gpt-4o", "openai", price=Price.of(input=2, output=2))]

    assert made.generate("Hi").cost == Decimal("0.0015")
    assert made.get_model_info("openai/m").context_window == 5
    assert client(colour, reply, plugins=[Plugin()], models=own).generate("Hi").cost == Decimal("0.003")


def test_a_plugin_s_models_without_a_provider_are_left_out(colour: Any):
    class Plugin:
        @hookimpl
        def llmkit_register_models(self) -> list[Any]:
            return [ModelInfo("gpt-4o", price=Price.of(input=1, output=1)), "gpt-4o"]

    with pytest.warns(RuntimeWarning, match="2 models of plugins are left out"):
        made = client(colour, chat("hi", usage=USED, model="gpt-4o"), plugins=[Plugin()])
    assert made.generate("Hi").cost == Decimal("0.0075")


def test_an_unknown_price_is_said_once(colour: Any, caplog: pytest.LogCaptureFixture):
    made = client(colour, chat("hi", usage=USED, model="house-model"), "house-model")
    with caplog.at_level(logging.DEBUG, "llmkit"):
        costs = [made.generate("Hi").cost for _ in range(3)]

    assert costs == [None, None, None]
    assert [record.getMessage() for record in caplog.records if "price" in record.getMessage()] == [
        "the price of openai/house-model is not known: its calls have no cost"
    ]
    assert {record.levelname for record in caplog.records} == {"INFO"}
