"""What a request means, whatever the order and the spelling: two that mean the same compare equal.

Taken as the same, because the vendors' documentation says so: fields in another order; null, empty or the vendor's default as
against absent; one text as against a list of one text part; texts side by side in a message that is not the user's;
``max_completion_tokens`` and ``max_tokens``, ``random_seed`` and ``seed``, ``any`` and ``required``, ``developer`` and
``system``; tool arguments as the JSON they hold; two turns of one role and one of both; ids that were made up because the wire
has none; snake_case and camelCase at Gemini; several ways to name the same JSON schema; ``stream_options`` and
``encoding_format``, which llmkit chooses itself. Also: at Mistral, which takes ids of nine characters only, any ids that link
calls and results alike; at DeepSeek, ``strict`` tools, which its ordinary root passes over
(https://api-docs.deepseek.com/guides/tool_calls); at Gemini, summaries of thoughts, which only people read: signatures are what
goes back (https://ai.google.dev/gemini-api/docs/thinking).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from .asked_gemini import camel
from .cases import Case

MADE_UP = re.compile(r"call_\d{1,2}")
Fields = dict[str, Any]


def meaning(case: Case, path: str, body: Mapping[str, Any] | None) -> Any:
    """The canonical form of a request to the vendor of ``case``."""
    if case.kind == "models" or body is None:
        return {"path": path}
    if case.kind == "embeddings":
        return {"path": path.replace(":embedContent", ":batchEmbedContents"), **_embeddings(case.wire, dict(body))}
    found = CHATS[case.wire](_plain(dict(body)))
    if case.provider == "mistral":
        _renumber(found["messages"])
    if case.provider == "deepseek":
        for tool in found.get("tools", ()):
            tool["function"].pop("strict", None)
    return {"path": path, **found}


def _renumber(messages: list[Fields]) -> None:
    """Calls and the results that answer them by number, in the order in which they come."""
    numbers: dict[Any, int] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["id"] = numbers.setdefault(call["id"], len(numbers))
        if "tool_call_id" in message:
            message["tool_call_id"] = numbers.get(message["tool_call_id"], message["tool_call_id"])


def differing(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where two canonical forms differ, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = [*theirs, *[name for name in ours if name not in theirs]]
        return [found for name in names for found in differing(ours.get(name, ABSENT), theirs.get(name, ABSENT), f"{where}.{name}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [found for at, (mine, other) in pairs for found in differing(mine, other, f"{where}[{at}]")]
    same = ours == theirs and type(ours) in (type(theirs), int, float)
    return [] if same else [f"{where.lstrip('.')}: sent {ours!r:.300}, recorded {theirs!r:.300}"]


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()
VERBATIM = ("parameters", "parametersJsonSchema", "schema", "json_schema", "responseSchema", "input_schema", "args", "input")


def _plain(value: Any) -> Any:
    """Without nulls; what is the user's own data stays as it is."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: item if name in VERBATIM and isinstance(item, Mapping) else _plain(item)
        for name, item in value.items()
        if item is not None
    }


def _schema(schema: Any) -> Any:
    """A JSON schema in which the order of what is required, and the spelling of Gemini's types and fields, do not matter."""
    if isinstance(schema, list):
        return [_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: Fields = {}
    for name, value in schema.items():
        if name in ("properties", "$defs") and isinstance(value, Mapping):
            found[name] = {key: _schema(item) for key, item in value.items()}
        elif name == "required" and isinstance(value, list):
            found[name] = sorted(value)
        elif name == "type" and isinstance(value, str):
            found[name] = value.lower()
        else:
            found[SCHEMA_NAMES.get(str(name), str(name))] = _schema(value)
    return found


SCHEMA_NAMES = {"property_ordering": "propertyOrdering", "any_of": "anyOf"}


def _drop(fields: Fields, defaults: Mapping[str, Any]) -> Fields:
    """Without fields that say what is so anyway."""
    return {name: value for name, value in fields.items() if name not in defaults or value not in (defaults[name], [], "", {})}


def _rename(fields: Fields, names: Mapping[str, str]) -> Fields:
    return {names.get(name, name): value for name, value in fields.items()}


def _json(text: Any) -> Any:
    """What a text of JSON holds; the text itself where it holds none."""
    if not isinstance(text, str):
        return text
    try:
        return orjson.loads(text or "{}") or {}
    except orjson.JSONDecodeError:
        return text


def _merged(turns: list[Fields]) -> list[Fields]:
    """Turns of one role, one after the other, as one. Their content is a list under ``content`` or ``parts``."""
    found: list[Fields] = []
    for turn in turns:
        if found and set(found[-1]) == set(turn) == {"role", "content"} and found[-1]["role"] == turn["role"]:
            found[-1] = {"role": turn["role"], "content": found[-1]["content"] + turn["content"]}
        elif turn["content"]:
            found.append(turn)
    return found


# ------------------------------------------------------------------------------------------------------------- OpenAI

OPENAI_NAMES = {"max_completion_tokens": "max_tokens", "random_seed": "seed"}
OPENAI_DEFAULTS = {"n": 1, "stream": False, "tools": [], "response_format": {"type": "text"}, "stop": []}


def _openai(body: Fields) -> Fields:
    body.pop("stream_options", None)
    body = _drop(_rename(body, OPENAI_NAMES), OPENAI_DEFAULTS)
    body["messages"] = [_openai_message(message) for message in body["messages"]]
    if "tools" in body:
        body["tools"] = [_openai_tool(tool) for tool in body["tools"]]
    if body.get("tool_choice") == "any":
        body["tool_choice"] = "required"
    if isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]
    if "reasoning_effort" in body and "reasoning" not in body:
        body["reasoning"] = {"effort": body.pop("reasoning_effort")}
    form = body.get("response_format", {})
    if "json_schema" in form:
        wanted = _drop(form["json_schema"], {"strict": False, "description": ""})
        body["response_format"] = {**form, "json_schema": {**wanted, "schema": _schema(wanted.get("schema"))}}
    return body


def _openai_tool(tool: Fields) -> Fields:
    if tool.get("type", "function") != "function":
        return tool
    function = _drop(tool["function"], {"description": "", "strict": False})
    function["parameters"] = _schema(function.get("parameters", {"type": "object", "properties": {}}))
    return {**tool, "type": "function", "function": function}


def _openai_message(message: Fields) -> Fields:
    role = "system" if message["role"] == "developer" else message["role"]
    said = _rename(message, {"reasoning_content": "reasoning", "thinking": "reasoning", "tool_plan": "reasoning"})
    said = _drop(said, {"prefix": False, "tool_calls": [], "citations": [], "content": "", "reasoning": "", "name": ""})
    if "tool_calls" in said:
        said["tool_calls"] = [_openai_call(call) for call in said["tool_calls"]]
    if isinstance(said.get("content"), list):
        said["content"] = _openai_content(said["content"], joined=role != "user")
    return _drop({**said, "role": role}, {"content": ""})


def _openai_call(call: Fields) -> Fields:
    function = {**call["function"], "arguments": _json(call["function"].get("arguments", {}))}
    rest = {name: value for name, value in call.items() if name not in ("index", "function")}
    return {"type": "function", **rest, "function": function}


def _openai_content(parts: list[Fields], *, joined: bool) -> Any:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "text", **part} for part in parts]
    if all(set(part) == {"type", "text"} for part in parts) and (joined or len(parts) == 1):
        return "".join(part["text"] for part in parts)
    return [_openai_part(part) for part in parts]


def _openai_part(part: Fields) -> Fields:
    if part["type"] == "image_url":
        image = part["image_url"]
        return {**part, "image_url": {"url": image} if isinstance(image, str) else _drop(image, {"detail": "auto"})}
    return part


# ------------------------------------------------------------------------------------------------- Ollama and Cohere


def _ollama(body: Fields) -> Fields:
    body = _drop(body, {"options": {}, "format": "", "tools": []})
    names: list[str] = []
    messages = []
    for message in body["messages"]:
        message = {**message}
        if message["role"] == "tool" and (name := message.pop("tool_name", None) or message.pop("name", None)):
            message["tool_name"] = name
        elif message["role"] == "tool" and names:
            message["tool_name"] = names.pop(0)
        calls = message.get("tool_calls", ())
        names = [call["function"]["name"] for call in calls] or names
        messages.append(_without_made_up(_openai_message(message)))
    body["messages"] = messages
    if "tools" in body:
        body["tools"] = [_openai_tool(tool) for tool in body["tools"]]
    return {"stream": True, **body}


def _without_made_up(message: Fields) -> Fields:
    if "tool_calls" in message:
        calls = [_drop(call, {"id": None}) for call in message["tool_calls"]]
        message["tool_calls"] = [
            {name: value for name, value in call.items() if name != "id" or not MADE_UP.fullmatch(value)} for call in calls
        ]
    return message


def _cohere(body: Fields) -> Fields:
    body = _drop(body, {"stream": False, "documents": [], "tools": []})
    body["messages"] = [_cohere_message(message) for message in body["messages"]]
    if "tools" in body:
        body["tools"] = [_openai_tool(tool) for tool in body["tools"]]
    if "response_format" in body:
        body["response_format"] = _rename(body["response_format"], {"schema": "json_schema"})
    return body


def _cohere_message(message: Fields) -> Fields:
    said = _openai_message(message)
    content = said.get("content")
    if isinstance(content, list):
        thoughts = [part["thinking"] for part in content if part["type"] == "thinking"]
        rest = [_cohere_part(part) for part in content if part["type"] != "thinking"]
        said["content"] = rest
        if all(set(part) == {"type", "text"} for part in rest):
            said["content"] = "".join(part["text"] for part in rest)
        if thoughts:
            said["reasoning"] = "".join(thoughts)
    return _drop(said, {"content": ""})


def _cohere_part(part: Fields) -> Fields:
    """A document whose only field is the tool's output is that text."""
    data = part.get("document", {}).get("data") if part["type"] == "document" else None
    if isinstance(data, Mapping) and len(data) == 1 and "id" not in part["document"]:
        return {"type": "text", "text": str(next(iter(data.values())))}
    return part


# ---------------------------------------------------------------------------------------------------------- Anthropic


def _anthropic(body: Fields) -> Fields:
    body = _drop(body, {"stream": False, "tools": [], "stop_sequences": []})
    body["messages"] = _merged([{**turn, "content": _blocks(turn["content"])} for turn in body["messages"]])
    system = _blocks(body.pop("system", ""))
    if system:
        body["system"] = system
    config = dict(body.pop("output_config", {}))
    if "output_format" in body:
        config["format"] = body.pop("output_format")
    if config:
        body["output_config"] = config
    if "tools" in body:
        body["tools"] = [_drop(tool, {"type": "custom", "description": "", "strict": False}) for tool in body["tools"]]
    if "tool_choice" in body:
        body["tool_choice"] = _drop(body["tool_choice"], {"disable_parallel_tool_use": False})
    return body


def _blocks(content: Any) -> list[Fields]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_block(block) for block in blocks if block.get("text") != ""]


def _block(block: Fields) -> Fields:
    if block["type"] == "tool_result":
        block = {**block, "content": _blocks(block.get("content", ""))}
    return _drop(block, {"is_error": False, "citations": []})


# ------------------------------------------------------------------------------------------------------------- Gemini


def _gemini(body: Fields) -> Fields:
    body = _drop(camel(body), {"safetySettings": [], "tools": [], "generationConfig": {}, "toolConfig": {}})
    links = _Links()
    turns = []
    for turn in body["contents"]:
        parts = [_gemini_part(part, links) for part in turn["parts"]]
        parts = [part for part in parts if part]
        said = [part for part in parts if part != {"text": ""}]
        turns.append({"role": turn.get("role", "user"), "content": said or parts})
    body["contents"] = _merged(turns)
    if "systemInstruction" in body:
        body["systemInstruction"] = "".join(part["text"] for part in body["systemInstruction"]["parts"])
    if "generationConfig" in body:
        body["generationConfig"] = _gemini_config(body["generationConfig"])
    if "tools" in body:
        flat = [{name: value} for tool in body["tools"] for name, value in tool.items() if name != "functionDeclarations"]
        declared = [one for tool in body["tools"] for one in tool.get("functionDeclarations", ())]
        body["tools"] = [*[_declaration(one) for one in declared], *flat]
    return _drop(body, {"generationConfig": {}})


class _Links:
    """Which result answers which call: by id, or else the first open call of that name."""

    def __init__(self) -> None:
        self._open: list[tuple[int, Any, str]] = []
        self._calls = 0

    def call(self, call: Fields) -> int:
        self._open.append((self._calls, call.get("id"), call["name"]))
        self._calls += 1
        return self._calls - 1

    def answered(self, result: Fields) -> int | None:
        given = result.get("id")
        if given is not None and any(one[1] is not None for one in self._open):
            matching = [one for one in self._open if one[1] == given]
        else:
            matching = [one for one in self._open if one[2] == result["name"]]
        found = matching[0] if matching else None
        if found is None:
            return None
        self._open.remove(found)
        return found[0]


def _gemini_part(part: Fields, links: _Links) -> Fields:
    part = _drop(part, {"thought": False})
    if part.get("thought"):
        return {name: value for name, value in part.items() if name != "text"} if "thoughtSignature" in part else {}
    if "functionCall" in part:
        call = part["functionCall"]
        part["functionCall"] = {"args": {}, **call, "id": links.call(call)}
    if "functionResponse" in part:
        answer = part["functionResponse"]
        response = answer["response"]
        if len(response) == 1 and next(iter(response)) in ("result", "output"):
            response = next(iter(response.values()))
        part["functionResponse"] = {**answer, "id": links.answered(answer), "response": _json(response)}
    return part


def _gemini_config(config: Fields) -> Fields:
    config = _rename(config, {"responseSchema": "schema", "responseJsonSchema": "schema"})
    if "schema" in config:
        config["schema"] = _schema(config["schema"])
    return _drop(config, {"candidateCount": 1, "responseModalities": ["TEXT"], "stopSequences": []})


def _declaration(declared: Fields) -> Fields:
    declared = _drop(_rename(declared, {"parametersJsonSchema": "parameters"}), {"description": ""})
    empty = {"type": "object", "properties": {}}
    return {**declared, "parameters": _schema(declared.get("parameters", empty))}


CHATS: Mapping[str, Callable[[Fields], Fields]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "ollama": _ollama,
    "cohere": _cohere,
}


# --------------------------------------------------------------------------------------------------------- embeddings


def _embeddings(wire: str, body: Fields) -> Fields:
    if wire == "gemini":
        asked = camel(body)
        requests = asked.get("requests") or [asked]
        return {"requests": [_gemini_text(request) for request in requests]}
    body = _plain(body)
    body.pop("encoding_format", None)
    body = _drop(body, {"truncate": "END", "embedding_types": ["float"]} if wire == "cohere" else {})
    if isinstance(body.get("input"), str):
        body["input"] = [body["input"]]
    return body


def _gemini_text(request: Fields) -> Fields:
    text = "".join(part["text"] for part in request["content"]["parts"])
    return {**{name: value for name, value in request.items() if name not in ("model", "content")}, "text": text}
