"""The least client of each wire: builds requests and reads answers, independently of the providers."""

from __future__ import annotations

import json
from typing import NamedTuple

OPENAI = (
    "openai", "azure_openai", "mistral", "groq", "together", "perplexity", "lmstudio", "openai_compatible", "openrouter",
    "deepseek", "xai", "vllm",
)  # fmt: skip
VENDORS = (*OPENAI, "anthropic", "google", "ollama", "cohere")
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Heard(NamedTuple):
    text: str
    finish: str
    prompt: int
    completion: int
    calls: list[tuple[str, dict]]


def headers(vendor: str, key: str = "key-1") -> dict[str, str]:
    if vendor == "anthropic":
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    if vendor == "google":
        return {"x-goog-api-key": key}
    return {"api-key": key} if vendor == "azure_openai" else {"authorization": f"Bearer {key}"}


def chat(
    base: str, vendor: str, text: str, stream: bool = False, tools: tuple[str, ...] = (), model: str = "m"
) -> tuple[str, dict]:
    """The URL and the body of a chat request."""
    functions = [{"name": name, "description": "d", "parameters": PARAMETERS} for name in tools]
    if vendor == "google":
        body: dict = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        if tools:
            body["tools"] = [{"functionDeclarations": functions}]
        return f"{base}/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent"), body
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    if vendor == "anthropic":
        body |= {"max_tokens": 100, **({"stream": True} if stream else {})}
        if tools:
            body["tools"] = [{"name": one["name"], "input_schema": one["parameters"]} for one in functions]
        return f"{base}/v1/messages", body
    if tools:
        body["tools"] = [{"type": "function", "function": one} for one in functions]
    if vendor == "ollama":
        return f"{base}/api/chat", {**body, "stream": stream}
    if stream:
        body["stream"] = True
        if vendor not in ("mistral", "cohere"):
            body["stream_options"] = {"include_usage": True}
    if vendor == "cohere":
        return f"{base}/v2/chat", body
    return f"{base}/openai/v1/chat/completions" if vendor == "azure_openai" else f"{base}/chat/completions", body


def events(raw: bytes) -> list[dict]:
    lines = [line for line in raw.decode().splitlines() if line.startswith("data: ") and line != "data: [DONE]"]
    return [json.loads(line[6:]) for line in lines]


def hear(vendor: str, raw: bytes, stream: bool) -> Heard:
    """What an answer says."""
    if vendor in OPENAI:
        return _openai(vendor, events(raw)) if stream else _openai_whole(vendor, json.loads(raw))
    return {"anthropic": _anthropic, "google": _google, "ollama": _ollama, "cohere": _cohere}[vendor](raw, stream)


def _openai_whole(vendor: str, document: dict) -> Heard:
    message, usage = document["choices"][0]["message"], document["usage"]
    calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls") or ()]
    finish = document["choices"][0]["finish_reason"]
    return Heard(message["content"] or "", finish, usage["prompt_tokens"], usage["completion_tokens"], calls)


def _openai(vendor: str, chunks: list[dict]) -> Heard:
    text, finish, usage, calls = "", "", {}, {}
    for chunk in chunks:
        usage = chunk.get("usage") or chunk.get("x_groq", {}).get("usage") or usage
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
            for call in choice["delta"].get("tool_calls", ()):
                name, arguments = calls.get(call["index"], ("", ""))
                function = call["function"]
                calls[call["index"]] = (name or function["name"], arguments + function["arguments"])
    heard = [(name, json.loads(arguments)) for name, arguments in calls.values()]
    return Heard(text, finish, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0), heard)


def _anthropic(raw: bytes, stream: bool) -> Heard:
    if not stream:
        document = json.loads(raw)
        text = "".join(block["text"] for block in document["content"] if block["type"] == "text")
        calls = [(block["name"], block["input"]) for block in document["content"] if block["type"] == "tool_use"]
        usage = document["usage"]
        return Heard(text, document["stop_reason"], usage["input_tokens"], usage["output_tokens"], calls)
    text, finish, prompt, completion, found = "", "", 0, 0, {}
    for event in events(raw):
        if event["type"] == "message_start":
            prompt = event["message"]["usage"]["input_tokens"]
        elif event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
            found[event["index"]] = [event["content_block"]["name"], ""]
        elif event["type"] == "content_block_delta":
            text += event["delta"].get("text", "")
            if "partial_json" in event["delta"]:
                found[event["index"]][1] += event["delta"]["partial_json"]
        elif event["type"] == "message_delta":
            finish, completion = event["delta"]["stop_reason"], event["usage"]["output_tokens"]
    assert b"event: message_stop" in raw
    return Heard(text, finish, prompt, completion, [(name, json.loads(arguments)) for name, arguments in found.values()])


def _google(raw: bytes, stream: bool) -> Heard:
    text, finish, usage, calls = "", "", {}, []
    for document in events(raw) if stream else [json.loads(raw)]:
        candidate, usage = document["candidates"][0], document["usageMetadata"]
        finish = candidate.get("finishReason", finish)
        for part in candidate["content"]["parts"]:
            text += part.get("text", "")
            if "functionCall" in part:
                calls.append((part["functionCall"]["name"], part["functionCall"]["args"]))
    return Heard(text, finish, usage["promptTokenCount"], usage["candidatesTokenCount"], calls)


def _ollama(raw: bytes, stream: bool) -> Heard:
    lines = [json.loads(line) for line in raw.splitlines()]
    assert len(lines) > 1 or not stream
    calls = [call["function"] for line in lines for call in line["message"].get("tool_calls", ())]
    text, last = "".join(line["message"]["content"] for line in lines), lines[-1]
    heard = [(call["name"], call["arguments"]) for call in calls]
    return Heard(text, last["done_reason"], last["prompt_eval_count"], last["eval_count"], heard)


def _cohere(raw: bytes, stream: bool) -> Heard:
    if not stream:
        document = json.loads(raw)
        message, used = document["message"], document["usage"]["tokens"]
        calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls", ())]
        text = "".join(part["text"] for part in message.get("content", ()))
        return Heard(text, document["finish_reason"], used["input_tokens"], used["output_tokens"], calls)
    text, found, end = "", {}, {}
    for event in events(raw):
        if event["type"] == "content-delta":
            text += event["delta"]["message"]["content"]["text"]
        elif event["type"] == "tool-call-start":
            found[event["index"]] = [event["delta"]["message"]["tool_calls"]["function"]["name"], ""]
        elif event["type"] == "tool-call-delta":
            found[event["index"]][1] += event["delta"]["message"]["tool_calls"]["function"]["arguments"]
        elif event["type"] == "message-end":
            end = event["delta"]
    used = end["usage"]["tokens"]
    calls = [(name, json.loads(arguments)) for name, arguments in found.values()]
    return Heard(text, end["finish_reason"], used["input_tokens"], used["output_tokens"], calls)
