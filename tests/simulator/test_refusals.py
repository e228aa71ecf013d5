"""What the simulated vendors refuse, and their own words and shapes for it."""

from __future__ import annotations

import json

import pytest

from tests.simulator.wires import OPENAI, VENDORS, chat, headers


def message(document) -> str:
    """The sentence of an error body, wherever the vendor puts it."""
    if "detail" in document:
        return str(document["detail"])
    error = document.get("error", document)
    return error if isinstance(error, str) else str(error.get("message"))


def post(http, simulator, vendor: str, change: dict, remove: tuple[str, ...] = (), text: str = "hi"):
    url, body = chat(simulator.base_url(vendor), vendor, text)
    body |= change
    for name in remove:
        body.pop(name)
    return http.post(url, json=body, headers=headers(vendor))


@pytest.mark.parametrize("vendor", [name for name in VENDORS if name not in ("lmstudio", "openai_compatible", "vllm", "ollama")])
def test_missing_key(simulator, http, vendor):
    url, body = chat(simulator.base_url(vendor), vendor, "hi")
    extra = {"anthropic-version": "2023-06-01"} if vendor == "anthropic" else {}
    reply = http.post(url, json=body, headers=extra)
    assert reply.status_code == (403 if vendor == "google" else 401)
    assert message(reply.json())


@pytest.mark.parametrize("vendor", VENDORS)
def test_wrong_key(make, http, vendor):
    """Only the keys that were given are accepted; the error is in the vendor's shape."""
    one = make(keys=["good"])
    url, body = chat(one.base_url(vendor), vendor, "hi")
    assert http.post(url, json=body, headers=headers(vendor, "good")).status_code == 200
    reply = http.post(url, json=body, headers=headers(vendor, "bad"))
    assert reply.status_code == (400 if vendor in ("google", "xai") else 401)
    assert message(reply.json())
    assert one.ledger.account(vendor, "bad")["errors"] == {"authentication": 1}


SHAPES = {
    "openai": {"error": {"message": str, "type": str, "param": object, "code": object}},
    "azure_openai": {"error": {"code": str, "message": str}},
    "mistral": {"object": str, "message": object, "type": str, "param": object, "code": object},
    "openrouter": {"error": {"code": int, "message": str}, "user_id": str},
    "perplexity": {"error": {"message": str, "type": str, "code": int}},
    "xai": {"code": str, "error": str},
    "anthropic": {"type": str, "error": {"type": str, "message": str}, "request_id": str},
    "google": {"error": {"code": int, "message": str, "status": str}},
    "ollama": {"error": str},
    "cohere": {"id": str, "message": str},
}


@pytest.mark.parametrize(("vendor", "shape"), SHAPES.items())
def test_rate_limit_in_the_vendors_shape(simulator, http, vendor, shape):
    url, body = chat(simulator.base_url(vendor), vendor, "hi")
    reply = http.post(url, json=body, headers={**headers(vendor), "x-simulate-fault": "429;retry-after=7"})
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")
    _fits(reply.json(), shape)


def _fits(value, shape) -> None:
    if isinstance(shape, dict):
        assert set(value) - {"details"} == set(shape)
        for name, inner in shape.items():
            _fits(value[name], inner)
    else:
        assert isinstance(value, shape)


@pytest.mark.parametrize("vendor", VENDORS)
def test_body_that_is_no_json(simulator, http, vendor):
    url, _ = chat(simulator.base_url(vendor), vendor, "hi")
    assert http.post(url, data=b"{nonsense", headers=headers(vendor)).status_code == 400


@pytest.mark.parametrize("vendor", VENDORS)
def test_unknown_path(simulator, http, vendor):
    reply = http.post(f"{simulator.base_url(vendor)}/nowhere", json={}, headers=headers(vendor))
    assert reply.status_code == 404


def test_unknown_vendor(simulator, http):
    assert http.post(f"{simulator.url}/nobody/v1/chat/completions", json={}).status_code == 404


@pytest.mark.parametrize(("vendor", "status", "words"), [
    ("openai", 400, "Unknown parameter: 'bogus'"),
    ("azure_openai", 400, "Unknown parameter: 'bogus'"),
    ("mistral", 422, "Extra inputs are not permitted"),
    ("groq", 400, "property 'bogus' is unsupported"),
    ("anthropic", 400, "bogus: Extra inputs are not permitted"),
    ("google", 400, 'Unknown name "bogus"'),
    ("cohere", 422, "parameter 'bogus' is not a valid field"),
])  # fmt: skip
def test_unknown_field(simulator, http, vendor, status, words):
    reply = post(http, simulator, vendor, {"bogus": 1})
    assert reply.status_code == status
    assert words in message(reply.json())


@pytest.mark.parametrize("vendor", ["together", "deepseek", "xai", "vllm", "openrouter", "perplexity", "lmstudio", "ollama"])
def test_unknown_field_that_is_ignored(simulator, http, vendor):
    assert post(http, simulator, vendor, {"bogus": 1}).status_code == 200


USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(("change", "words"), [
    ({"messages": []}, "empty array"),
    ({"messages": "hi"}, "expected an array"),
    ({"messages": [{"role": "model", "content": "hi"}]}, "Invalid value: 'model'"),
    ({"messages": [{"role": "user", "content": None}]}, "expected a string, got null"),
    ({"messages": [{"role": "user", "content": [{"type": "picture"}]}]}, "Invalid value: 'picture'"),
    ({"messages": [USER, {"role": "tool", "tool_call_id": "c1", "content": "x"}]}, "must be a response to a preceeding message"),
    ({"messages": [USER, CALLED]}, "did not have response messages: c1"),
    ({"messages": [USER, CALLED, USER]}, "did not have response messages: c1"),
    ({"messages": [USER, {**CALLED, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}]}, "expected a string"),
    ({"temperature": "hot"}, "Invalid type for 'temperature'"),
    ({"temperature": 3}, "Invalid 'temperature'"),
    ({"max_tokens": 0}, "Invalid 'max_tokens'"),
    ({"stream": "yes"}, "Invalid type for 'stream'"),
    ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
    ({"stop": ["a"] * 5}, "at most 4"),
    ({"tool_choice": "required"}, "only allowed when 'tools' are specified"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "Invalid value for 'tool_choice'"),
    ({"tools": [{"name": "f"}]}, "'tools[0].function'"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "does not match pattern"),
    ({"tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": OPEN}}]}, "'additionalProperties'"),
    ({"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": OPEN}}}, "json_schema.name"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema":
      {**OPEN, "additionalProperties": False}}}}, "Missing 'a'"),
    ({"model": "o4-mini", "max_tokens": 5}, "Use 'max_completion_tokens' instead"),
    ({"model": "gpt-5-mini", "temperature": 0.5}, "Only the default (1)"),
    ({"model": 5}, "expected a string"),
])  # fmt: skip
def test_openai_refuses(simulator, http, change, words):
    reply = post(http, simulator, "openai", change)
    assert reply.status_code == 400
    assert words in message(reply.json())


@pytest.mark.parametrize(("vendor", "change", "words"), [
    ("mistral", {"seed": 1}, "Extra inputs"),
    ("mistral", {"stream": True, "stream_options": {"include_usage": True}}, "Extra inputs"),
    ("groq", {"logprobs": True}, "unsupported"),
    ("lmstudio", {"response_format": {"type": "json_object"}}, "response_format.type"),
    ("deepseek", {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format.type"),
    ("perplexity", {"messages": [USER, USER]}, "should alternate"),
    ("perplexity", {"messages": [USER, {"role": "assistant", "content": "x"}]}, "Last message must have role"),
])  # fmt: skip
def test_what_other_vendors_of_the_dialect_refuse(simulator, http, vendor, change, words):
    reply = post(http, simulator, vendor, change)
    assert reply.status_code in (400, 422)
    assert words in reply.text


USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t2", "content": "x"}]}


@pytest.mark.parametrize(("change", "remove", "words"), [
    ({}, ("max_tokens",), "max_tokens: Field required"),
    ({}, ("model",), "model: Field required"),
    ({"max_tokens": "5"}, (), "max_tokens: Input should be a valid integer"),
    ({"temperature": 1.5}, (), "temperature: range: 0..1"),
    ({"messages": []}, (), "at least one message"),
    ({"messages": [{"role": "system", "content": "x"}, USER]}, (), "top-level `system` parameter"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, (), "first message must use"),
    ({"messages": [{"role": "user", "content": ""}]}, (), "non-empty content"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, (), "text content blocks must be non-empty"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, (), "does not match any"),
    ({"messages": [USER, USE, USER]}, (), "without `tool_result` blocks immediately after: t1"),
    ({"messages": [USER, USE]}, (), "without `tool_result` blocks immediately after: t1"),
    ({"messages": [USER, RESULT]}, (), "unexpected `tool_use_id`"),
    ({"tools": [{"name": "f"}]}, (), "input_schema: Field required"),
    ({"tools": [{"name": "f", "input_schema": {}}]}, (), "Input should be 'object'"),
    ({"tool_choice": {"type": "any"}}, (), "while providing tools"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, (), "must be greater than `thinking.budget_tokens`"),
    ({"thinking": {"type": "enabled", "budget_tokens": 10}}, (), "greater than or equal to 1024"),
])  # fmt: skip
def test_anthropic_refuses(simulator, http, change, remove, words):
    reply = post(http, simulator, "anthropic", change, remove)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    assert words in message(reply.json())


def test_anthropic_wants_its_version(simulator, http):
    url, body = chat(simulator.base_url("anthropic"), "anthropic", "hi")
    reply = http.post(url, json=body, headers={"x-api-key": "k"})
    assert (reply.status_code, message(reply.json())) == (400, "anthropic-version: header is required")


HI = {"role": "user", "parts": [{"text": "hi"}]}
FUNCTION = {"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "properties": {}}}]}


@pytest.mark.parametrize(("change", "words"), [
    ({"contents": []}, "contents is not specified"),
    ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
    ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
    ({"contents": [{"role": "user", "parts": [{"words": "x"}]}]}, 'Unknown name "words"'),
    ({"contents": [{"role": "user", "parts": [{}]}]}, "must have one initialized field"),
    ({"contents": [HI, {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}, "immediately after"),
    ({"contents": [HI, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}, HI]}, "is equal to the number"),
    ({"generationConfig": {"max_tokens": 5}}, 'Unknown name "maxTokens"'),
    ({"generationConfig": {"temperature": "hot"}}, "generation_config.temperature"),
    ({"generationConfig": {"responseSchema": {"type": "object"}}}, "response_mime_type"),
    ({"generationConfig": {"responseMimeType": "application/json", "responseSchema":
      {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}}}, 'Unknown name "$ref"'),
    ({"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "additionalProperties": False}}]}]},
     'Unknown name "additionalProperties"'),
    ({"tools": [{"functions": []}]}, 'Unknown name "functions"'),
    ({"toolConfig": {"functionCallingConfig": {"mode": "MUST"}}}, "function_calling_config.mode"),
    ({"tools": [FUNCTION], "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}}}, "subset"),
    ({"tools": [FUNCTION], "generationConfig": {"responseMimeType": "application/json"}}, "is unsupported"),
])  # fmt: skip
def test_google_refuses(simulator, http, change, words):
    reply = post(http, simulator, "google", change)
    assert (reply.status_code, reply.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in message(reply.json())


def test_google_reads_snake_case(simulator, http):
    """Protocol buffers take both spellings."""
    change = {"generation_config": {"max_output_tokens": 1}, "system_instruction": {"parts": [{"text": "one two"}]}}
    reply = post(http, simulator, "google", change, text="a b")
    assert reply.json()["usageMetadata"] == {"promptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 5}


@pytest.mark.parametrize(("change", "words"), [
    ({"model": ""}, "model is required"),
    ({"stream": "no"}, "cannot unmarshal string into Go struct field ChatRequest.stream of type bool"),
    ({"messages": [{"role": "model", "content": "x"}]}, "invalid role"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "ChatRequest.messages.content of type string"),
    ({"messages": [{"role": "user", "content": "x", "images": ["http://x"]}]}, "illegal base64"),
    ({"messages": [{"role": "assistant", "content": "", "tool_calls": [CALL]}]}, "api.ToolCallFunctionArguments"),
    ({"options": {"temperature": "hot"}}, 'option "temperature"'),
])  # fmt: skip
def test_ollama_refuses(simulator, http, change, words):
    reply = post(http, simulator, "ollama", change)
    assert reply.status_code == 400
    assert words in reply.json()["error"]


def test_ollama_loads_a_model_without_messages(simulator, http):
    """An empty conversation only loads the model; streaming is the default."""
    url = f"{simulator.base_url('ollama')}/api/chat"
    lines = http.post(url, json={"model": "m"}).text.splitlines()
    assert [(json.loads(line)["done"], json.loads(line)["done_reason"]) for line in lines] == [(True, "load")]


@pytest.mark.parametrize(("change", "status", "words"), [
    ({"model": ""}, 400, "a model parameter is required"),
    ({"messages": []}, 400, "must not be empty"),
    ({"messages": [{"role": "user", "content": ""}]}, 400, "must have a content"),
    ({"messages": [{"role": "developer", "content": "x"}]}, 400, "invalid role"),
    ({"messages": [USER, {"role": "assistant", "content": "x"}]}, 400, "last message"),
    ({"messages": [USER, {"role": "tool", "tool_call_id": "c1", "content": "x"}]}, 400, "tool_call_id"),
    ({"temperature": 1.5}, 400, "temperature must be between 0 and 1"),
    ({"tool_choice": "auto"}, 400, "REQUIRED or NONE"),
    ({"tools": [{"type": "function", "function": {**TOOL["function"], "strict": True}}]}, 422, "'strict'"),
    ({"response_format": {"type": "json_schema"}}, 400, "response_format.type"),
])  # fmt: skip
def test_cohere_refuses(simulator, http, change, status, words):
    reply = post(http, simulator, "cohere", change)
    assert reply.status_code == status
    assert words in message(reply.json())


def test_cohere_embed_wants_an_input_type(simulator, http):
    url = f"{simulator.base_url('cohere')}/v2/embed"
    reply = http.post(url, json={"model": "m", "texts": ["a"]}, headers=headers("cohere"))
    assert (reply.status_code, "input_type" in message(reply.json())) == (400, True)


@pytest.mark.parametrize("vendor", OPENAI)
def test_embeddings_of_nothing(simulator, http, vendor):
    base = simulator.base_url(vendor)
    url = f"{base}/openai/v1/embeddings" if vendor == "azure_openai" else f"{base}/embeddings"
    reply = http.post(url, json={"model": "m", "input": []}, headers=headers(vendor))
    assert reply.status_code == (404 if vendor == "deepseek" else 400)


def test_wrong_method(simulator, http):
    assert http.get(f"{simulator.base_url('openai')}/chat/completions", headers=headers("openai")).status_code == 405
