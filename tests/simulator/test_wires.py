"""Every vendor's wire: whole answers, streams, tools, embeddings, models."""

from __future__ import annotations

import base64
import struct

import pytest

from llmkit.simulator import Answer
from tests.simulator.wires import OPENAI, VENDORS, chat, events, headers, hear

FINISHED = {"anthropic": "end_turn", "google": "STOP", "cohere": "COMPLETE"}
CALLED = {"anthropic": "tool_use", "google": "STOP", "ollama": "stop", "cohere": "TOOL_CALL"}
CUT = {"anthropic": "max_tokens", "google": "MAX_TOKENS", "cohere": "MAX_TOKENS"}
SHAPES = {"azure_openai": "", "openai": "/v1", "groq": "/openai/v1", "openrouter": "/api/v1", "perplexity": "", "google": ""}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_echo_with_exact_books(simulator, http, vendor, stream):
    """The answer is the question, tokens are its words."""
    url, body = chat(simulator.base_url(vendor), vendor, "one two  three\nvier 五", stream)
    reply = http.post(url, json=body, headers=headers(vendor))
    assert reply.status_code == 200, reply.text
    wanted = "text/event-stream" if vendor != "ollama" else "application/x-ndjson"
    assert reply.headers["content-type"].startswith(wanted if stream else "application/json")
    heard = hear(vendor, reply.content, stream)
    assert heard == ("one two  three\nvier 五", FINISHED.get(vendor, "stop"), 5, 5, [])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_tools_are_called_in_parallel(simulator, http, vendor, stream):
    text = 'Please call:weather {"city": "Oslo", "days": [1, {"a": "b"}]} and call:clock {} and call:unknown {}'
    url, body = chat(simulator.base_url(vendor), vendor, text, stream, tools=("weather", "clock"))
    reply = http.post(url, json=body, headers=headers(vendor))
    heard = hear(vendor, reply.content, stream) if vendor != "anthropic" or not stream else _anthropic_calls(reply.content)
    calls = heard if isinstance(heard, list) else heard.calls
    assert calls == [("weather", {"city": "Oslo", "days": [1, {"a": "b"}]}), ("clock", {})]
    if not isinstance(heard, list):
        assert heard.text == ""
        assert heard.finish == CALLED.get(vendor, "tool_calls")


def _anthropic_calls(raw: bytes) -> list:
    """Anthropic sends no fragment but an empty one for a call without arguments."""
    import json

    found: dict = {}
    for event in events(raw):
        if event["type"] == "content_block_start":
            found[event["index"]] = [event["content_block"]["name"], ""]
        elif event["type"] == "content_block_delta":
            found[event["index"]][1] += event["delta"]["partial_json"]
    return [(name, json.loads(arguments or "{}")) for name, arguments in found.values()]


def test_tool_results_are_answered(simulator, http):
    """After its results a call is not made again."""
    url, body = chat(simulator.base_url("openai"), "openai", "call:weather {}", tools=("weather",))
    first = http.post(url, json=body, headers=headers("openai")).json()["choices"][0]["message"]
    body["messages"] += [first, {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "sunny"}]
    assert http.post(url, json=body, headers=headers("openai")).json()["choices"][0]["message"]["content"] == "sunny"


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "google", "ollama", "cohere"])
def test_max_tokens_cut_the_answer(simulator, http, vendor):
    url, body = chat(simulator.base_url(vendor), vendor, "one two three four")
    body |= {
        "anthropic": {"max_tokens": 2},
        "google": {"generationConfig": {"maxOutputTokens": 2}},
        "ollama": {"options": {"num_predict": 2}},
    }.get(vendor, {"max_tokens": 2})
    heard = hear(vendor, http.post(url, json=body, headers=headers(vendor)).content, False)
    assert heard[:4] == ("one two", CUT.get(vendor, "length"), 4, 2)


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "google", "ollama", "cohere"])
def test_json_fits_its_schema(simulator, http, vendor):
    """Where JSON of a shape is wanted, the least of that shape comes."""
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "minimum": 3},
            "kind": {"enum": ["a", "b"], "type": "string"},
        },
        "required": ["name", "age", "kind"],
    }
    closed = {**schema, "additionalProperties": False}
    url, body = chat(simulator.base_url(vendor), vendor, "Fill in the form")
    body |= {
        "openai": {"response_format": {"type": "json_schema", "json_schema": {"name": "form", "schema": closed, "strict": True}}},
        "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": closed}}},
        "google": {"generationConfig": {"responseMimeType": "application/json", "responseSchema": schema}},
        "ollama": {"format": schema},
        "cohere": {"response_format": {"type": "json_object", "json_schema": schema}},
    }[vendor]
    reply = http.post(url, json=body, headers=headers(vendor))
    assert hear(vendor, reply.content, False).text == '{"name": "", "age": 3, "kind": "a"}'


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_reasoning_and_cache(make, http, stream):
    """Reasoning and cached tokens are told where each vendor tells them."""
    answer = Answer(text="yes", reasoning="let me think", prompt_tokens=10, cached_tokens=4)
    one = make(script=lambda question: answer)
    got = {}
    for vendor in ("deepseek", "groq", "xai", "anthropic", "google", "ollama", "cohere"):
        url, body = chat(one.base_url(vendor), vendor, "Is it?", stream)
        got[vendor] = http.post(url, json=body, headers=headers(vendor)).content
    assert b'"reasoning_content":"' in got["deepseek"]
    assert b'"reasoning":"' in got["groq"]
    assert b'"completion_tokens":1,"total_tokens":14' in got["xai"]
    assert b'"input_tokens":6' in got["anthropic"]
    assert b'"cache_read_input_tokens":4' in got["anthropic"]
    assert b'"signature"' in got["anthropic"]
    assert b'"thought":true' in got["google"]
    assert b'"thoughtsTokenCount":3' in got["google"]
    assert b'"thinking":"' in got["ollama"]
    assert b'"thinking":"' in got["cohere"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_several_choices(simulator, http, stream):
    """With ``n`` the choices differ in their index, and in a stream come interleaved."""
    url, body = chat(simulator.base_url("openai"), "openai", "one two", stream)
    reply = http.post(url, json={**body, "n": 3}, headers=headers("openai"))
    texts: dict[int, str] = {}
    for document in events(reply.content) if stream else [reply.json()]:
        usage = document.get("usage")
        for choice in document["choices"]:
            said = choice["delta" if stream else "message"].get("content") or ""
            texts[choice["index"]] = texts.get(choice["index"], "") + said
    assert texts == {0: "one two", 1: "one two", 2: "one two"}
    assert usage["completion_tokens"] == 6


def test_long_requests(simulator, http):
    """Pictures make bodies of many megabytes."""
    url, body = chat(simulator.base_url("openai"), "openai", "What is it?")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5_000_000}}
    body["messages"][0]["content"] = [{"type": "text", "text": "What is it?"}, picture]
    assert hear("openai", http.post(url, json=body, headers=headers("openai")).content, False).text == "What is it?"


def test_quirks_of_streams(simulator, http):
    """What the vendors' streams have that OpenAI's has not."""
    raw = {}
    for vendor in OPENAI:
        url, body = chat(simulator.base_url(vendor), vendor, "one two", True)
        body.pop("stream_options", None)
        raw[vendor] = http.post(url, json=body, headers=headers(vendor)).content
    assert raw["openrouter"].startswith(b": OPENROUTER PROCESSING\n\n")
    assert raw["deepseek"].startswith(b": keep-alive\n\n")
    assert b"[DONE]" not in raw["perplexity"]
    assert all(raw[vendor].endswith(b"data: [DONE]\n\n") for vendor in OPENAI if vendor != "perplexity")
    assert [chunk["choices"][0]["message"]["content"] for chunk in events(raw["perplexity"])] == ["", "one", "one two", "one two"]
    assert [chunk["usage"]["completion_tokens"] for chunk in events(raw["perplexity"])] == [0, 1, 2, 2]
    assert events(raw["groq"])[-1]["x_groq"]["usage"]["total_tokens"] == 4
    assert "usage" not in events(raw["groq"])[-1]
    assert events(raw["azure_openai"])[0]["choices"] == []
    assert "prompt_filter_results" in events(raw["azure_openai"])[0]
    assert b'"usage"' not in raw["openai"]
    assert events(raw["mistral"])[-1]["usage"]["total_tokens"] == 4


def test_google_without_sse_is_one_array(simulator, http):
    url, body = chat(simulator.base_url("google"), "google", "one two", True)
    documents = http.post(url.replace("alt=sse", "alt=json"), json=body, headers=headers("google")).json()
    assert "".join(part["text"] for document in documents for part in document["candidates"][0]["content"]["parts"]) == "one two"


def test_azure_has_two_forms_of_url(simulator, http):
    """The deployment in the path with an API version, or the model in the body."""
    root = simulator.base_url("azure_openai")
    body = {"messages": [{"role": "user", "content": "hi"}]}
    url = f"{root}/openai/deployments/my-gpt/chat/completions"
    reply = http.post(f"{url}?api-version=2024-10-21", json=body, headers={"api-key": "k"})
    assert reply.json()["model"] == "my-gpt"
    refused = http.post(url, json=body, headers={"api-key": "k"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "404")
    reply = http.post(f"{root}/openai/v1/chat/completions", json={**body, "model": "m"}, headers={"authorization": "Bearer token"})
    assert reply.json()["model"] == "m"


@pytest.mark.parametrize("vendor", [*[name for name in OPENAI if name != "deepseek"], "google", "ollama", "cohere"])
def test_embeddings(simulator, http, vendor):
    """One vector of length 1 per text, the same for the same text."""
    base, texts, read = simulator.base_url(vendor), ["one two", "three", "one two"], None
    if vendor == "google":
        one = {"model": "models/m", "outputDimensionality": 6}
        body = {"requests": [{**one, "content": {"parts": [{"text": text}]}} for text in texts]}
        url, read = f"{base}/v1beta/models/m:batchEmbedContents", lambda d: [e["values"] for e in d["embeddings"]]
    elif vendor == "ollama":
        url, body = f"{base}/api/embed", {"model": "m", "input": texts, "dimensions": 6}
        read = lambda d: d["embeddings"]  # noqa: E731
    elif vendor == "cohere":
        url, read = f"{base}/v2/embed", lambda d: d["embeddings"]["float"]
        body = {"model": "m", "texts": texts, "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 6}
    else:
        url = f"{base}/openai/v1/embeddings" if vendor == "azure_openai" else f"{base}/embeddings"
        body, read = {"model": "m", "input": texts, "dimensions": 6}, lambda d: [e["embedding"] for e in d["data"]]
    reply = http.post(url, json=body, headers=headers(vendor))
    vectors = read(reply.json())
    assert [len(vector) for vector in vectors] == [6, 6, 6]
    assert vectors[0] == vectors[2] != vectors[1]
    assert sum(x * x for x in vectors[0]) == pytest.approx(1)


def test_embeddings_by_type(simulator, http):
    """Cohere gives several forms of one vector at once."""
    kinds = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    body = {"model": "m", "texts": ["a"], "input_type": "clustering", "embedding_types": kinds, "output_dimension": 16}
    reply = http.post(f"{simulator.base_url('cohere')}/v2/embed", json=body, headers=headers("cohere")).json()["embeddings"]
    one = {kind: reply[kind][0] for kind in kinds}
    assert struct.unpack("<16f", base64.b64decode(one["base64"])) == pytest.approx(one["float"])
    assert one["int8"] == [number - 128 for number in one["uint8"]] == [round(127 * number) for number in one["float"]]
    assert one["binary"] == [number - 128 for number in one["ubinary"]]
    assert f"{one['ubinary'][0]:08b}" == "".join("1" if number > 0 else "0" for number in one["float"][:8])


def test_embeddings_as_base64(simulator, http):
    base, body = simulator.base_url("openai"), {"model": "m", "input": "one two"}
    floats = http.post(f"{base}/embeddings", json=body, headers=headers("openai")).json()["data"][0]["embedding"]
    reply = http.post(f"{base}/embeddings", json={**body, "encoding_format": "base64"}, headers=headers("openai")).json()
    packed = base64.b64decode(reply["data"][0]["embedding"])
    assert struct.unpack(f"<{len(floats)}f", packed) == pytest.approx(floats)
    assert reply["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


@pytest.mark.parametrize("vendor", VENDORS)
def test_models(make, http, vendor):
    """A list of models, and no answers of others once the simulator is told which there are."""
    one = make(models={vendor: ["m1", "m2"]})
    base = one.base_url(vendor)
    paths = {"anthropic": "/v1", "google": "/v1beta", "cohere": "/v1", "azure_openai": "/openai/v1"}
    path = "/api/tags" if vendor == "ollama" else f"{paths.get(vendor, '')}/models"
    document = http.get(base + path, headers=headers(vendor)).json()
    listed = document if isinstance(document, list) else document.get("data", document.get("models"))
    assert [(model.get("id") or model["name"]).removeprefix("models/") for model in listed] == ["m1", "m2"]
    url, body = chat(base, vendor, "hi", model="m3")
    reply = http.post(url, json=body, headers=headers(vendor))
    assert reply.status_code in (400, 404)
    assert one.ledger.account(vendor)["errors"] == {"model": 1}


def test_models_come_in_pages(make, http):
    """Anthropic, Google and Cohere page, each in its own way."""
    names = [f"m{n}" for n in range(5)]
    one = make(models=dict.fromkeys(("anthropic", "google", "cohere"), names))
    got, page = [], {}
    while page is not None:
        reply = http.get(f"{one.base_url('anthropic')}/v1/models", params={"limit": 2, **page}, headers=headers("anthropic")).json()
        got += [model["id"] for model in reply["data"]]
        page = {"after_id": reply["last_id"]} if reply["has_more"] else None
    assert got == names
    for vendor, path, size, token, following in (
        ("google", "/v1beta/models", "pageSize", "pageToken", "nextPageToken"),
        ("cohere", "/v1/models", "page_size", "page_token", "next_page_token"),
    ):
        got, page = [], {}
        while page is not None:
            reply = http.get(one.base_url(vendor) + path, params={size: 2, **page}, headers=headers(vendor)).json()
            got += [model["name"].removeprefix("models/") for model in reply["models"]]
            page = {token: reply[following]} if following in reply else None
        assert got == names


def test_one_model(simulator, http):
    """A model by its name, and the vendor's 404 for one there is not."""
    base = simulator.base_url("openai")
    assert http.get(f"{base}/models/gpt-4o", headers=headers("openai")).json()["id"] == "gpt-4o"
    assert http.get(f"{base}/models/nothing", headers=headers("openai")).status_code == 404


def test_token_counts(simulator, http):
    messages = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
    url = f"{simulator.base_url('anthropic')}/v1/messages/count_tokens"
    assert http.post(url, json=messages, headers=headers("anthropic")).json() == {"input_tokens": 3}
    url = f"{simulator.base_url('google')}/v1beta/models/m:countTokens"
    contents = {"contents": [{"parts": [{"text": "one two three"}]}]}
    assert http.post(url, json=contents, headers=headers("google")).json() == {"totalTokens": 3}


@pytest.mark.parametrize(("vendor", "end"), SHAPES.items())
def test_base_urls_are_shaped_as_the_vendors_own(simulator, vendor, end):
    assert simulator.base_url(vendor) == f"{simulator.url}/{vendor}{end}"
