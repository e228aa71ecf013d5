"""What Google refuses: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/caching#Schema"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmkit.simulated import Refusal

REQUEST = frozenset((
    "contents", "tools", "toolConfig", "safetySettings", "systemInstruction", "generationConfig", "cachedContent", "model",
    "labels", "serviceTier", "store",
))  # fmt: skip
CONFIG: Mapping[str, Any] = {
    "stopSequences": list, "responseMimeType": str, "responseSchema": dict, "responseJsonSchema": object,
    "responseModalities": list, "candidateCount": int, "maxOutputTokens": int, "temperature": (int, float), "topP": (int,
    float), "topK": (int, float), "seed": int, "presencePenalty": (int, float), "frequencyPenalty": (int, float),
    "responseLogprobs": bool, "logprobs": int, "enableEnhancedCivicAnswers": bool, "speechConfig": dict, "thinkingConfig":
    dict, "imageConfig": dict, "mediaResolution": str,
}  # fmt: skip
TOOLS = frozenset((
    "functionDeclarations", "googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "computerUse",
    "fileSearch", "googleMaps",
))  # fmt: skip
DECLARATION = frozenset((
    "name", "description", "behavior", "parameters", "parametersJsonSchema", "response", "responseJsonSchema",
))  # fmt: skip
PART = frozenset((
    "text", "inlineData", "functionCall", "functionResponse", "fileData", "executableCode", "codeExecutionResult",
    "thought", "thoughtSignature", "videoMetadata", "partMetadata", "mediaResolution",
))  # fmt: skip
SCHEMA = frozenset((
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering",
    "default", "items", "minimum", "maximum",
))  # fmt: skip
MODES = ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")


def camel(value: Any) -> Any:
    """An object with its snake_case names in camelCase, which protocol buffers read alike."""
    if not isinstance(value, Mapping):
        return value
    return {re.sub(r"(?<=[a-z])_([a-z])", lambda found: found[1].upper(), name): inner for name, inner in value.items()}


def unknown(name: str, at: str = "") -> Refusal:
    """The refusal of a field."""
    where = f" at '{at}'" if at else ""
    return Refusal("invalid", f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.', param=at)


def wrong(message: str) -> Refusal:
    """The refusal of a request."""
    return Refusal("invalid", message)


def check_fields(value: Any, fields: Any, at: str = "") -> None:
    """Refuse what is no object with these fields alone."""
    if not isinstance(value, Mapping):
        raise wrong(f"Invalid value at '{at or 'request'}', expected an object")
    for name in value:
        if name not in fields:
            raise unknown(name, at)


def check_generate(body: Mapping[str, Any], model: str) -> None:
    """Refuse what ``generateContent`` refuses; ``body`` has its names in camelCase.

    :raises Refusal: at the first fault.
    """
    check_fields(body, REQUEST)
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise wrong("* GenerateContentRequest.contents: contents is not specified\n")
    for number, content in enumerate(contents):
        check_content(content, f"contents[{number}]")
    _check_turns(contents)
    if body.get("systemInstruction") is not None:
        _check_parts(body["systemInstruction"], "system_instruction")
    _check_config(camel(body.get("generationConfig") or {}))
    _check_tools(body, model)


def check_content(content: Any, at: str) -> None:
    """Refuse what is no ``Content``."""
    check_fields(content, ("role", "parts"), at)
    if content.get("role", "user") not in ("user", "model", "function"):
        raise wrong("Please use a valid role: user, model.")
    _check_parts(content, at)


def _check_parts(content: Any, at: str) -> None:
    parts = content.get("parts") if isinstance(content, Mapping) else None
    parts = [parts] if isinstance(parts, Mapping) else parts
    if not isinstance(parts, list) or not parts:
        raise wrong(f"* GenerateContentRequest.{at}.parts: contents.parts must not be empty.\n")
    for number, part in enumerate(parts):
        part = camel(part)
        check_fields(part, PART, f"{at}.parts[{number}]")
        if not PART - {"thought", "thoughtSignature", "videoMetadata", "partMetadata", "mediaResolution"} & set(part):
            words = "required oneof field 'data' must have one initialized field"
            raise wrong(f"* GenerateContentRequest.{at}.parts[{number}].data: {words}\n")
        call, result = part.get("functionCall"), part.get("functionResponse")
        if call is not None and not (isinstance(call.get("name"), str) and isinstance(call.get("args", {}), Mapping)):
            raise wrong(f"Invalid value at '{at}.parts[{number}].function_call'")
        if result is not None and not (isinstance(result.get("name"), str) and isinstance(result.get("response"), Mapping)):
            raise wrong(f"Invalid value at '{at}.parts[{number}].function_response.response'")


def _count(content: Mapping[str, Any], field: str) -> int:
    return sum([field in camel(part) for part in content["parts"]]) if isinstance(content["parts"], list) else 0


def _check_turns(contents: list[Mapping[str, Any]]) -> None:
    calls = 0
    for content in contents:
        results = _count(content, "functionResponse")
        if results and not calls:
            raise wrong("Please ensure that function response turn comes immediately after a function call turn.")
        if results != calls:
            raise wrong(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the "
                "function call turn."
            )
        calls = _count(content, "functionCall")


def _check_config(config: Mapping[str, Any]) -> None:
    check_fields(config, CONFIG, "generation_config")
    for name, types in CONFIG.items():
        value = config.get(name)
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and types not in (bool, object))):
            raise wrong(f"Invalid value at 'generation_config.{name}', {value!r}")
    for name, low, high in (("temperature", 0, 2), ("topP", 0, 1), ("maxOutputTokens", 1, 10**9)):
        if config.get(name) is not None and not low <= config[name] <= high:
            raise wrong(f"* GenerateContentRequest.generation_config.{name}: must be in the range [{low}, {high}].\n")
    if len(config.get("stopSequences") or ()) > 5:
        raise wrong("* GenerateContentRequest.generation_config.stop_sequences: at most 5 stop sequences.\n")
    shaped = config.get("responseSchema") or config.get("responseJsonSchema")
    if config.get("responseSchema"):
        check_schema(config["responseSchema"], "generation_config.response_schema")
    if config.get("responseSchema") and config.get("responseJsonSchema"):
        raise wrong("Only one of response_schema and response_json_schema may be set.")
    if shaped and config.get("responseMimeType") not in ("application/json", "text/x.enum"):
        words = "only allowed when response_mime_type is application/json"
        raise wrong(f"* GenerateContentRequest.generation_config.response_schema: {words}\n")


def check_schema(schema: Any, at: str) -> None:
    """Refuse a schema with words beyond the subset of OpenAPI that Google reads, at any depth."""
    if not isinstance(schema, Mapping):
        raise wrong(f"Invalid value at '{at}'")
    schema = camel(schema)
    check_fields(schema, SCHEMA, at)
    for number, (name, inner) in enumerate((schema.get("properties") or {}).items()):
        check_schema(inner, f"{at}.properties[{number}].value ({name})")
    if schema.get("items") is not None:
        check_schema(schema["items"], f"{at}.items")
    for number, inner in enumerate(schema.get("anyOf") or ()):
        check_schema(inner, f"{at}.any_of[{number}]")


def _check_tools(body: Mapping[str, Any], model: str) -> None:
    names = []
    for number, tool in enumerate(body.get("tools") or ()):
        tool = camel(tool)
        check_fields(tool, TOOLS, f"tools[{number}]")
        for index, declared in enumerate(tool.get("functionDeclarations") or ()):
            at = f"tools[{number}].function_declarations[{index}]"
            declared = camel(declared)
            check_fields(declared, DECLARATION, at)
            if not _NAME.fullmatch(str(declared.get("name", ""))):
                words = "Invalid function name. Must start with a letter or an underscore."
                raise wrong(f"* GenerateContentRequest.{at}.name: {words}\n")
            if declared.get("parameters") is not None:
                check_schema(declared["parameters"], f"{at}.parameters")
            names.append(declared["name"])
    config = camel((camel(body.get("toolConfig") or {})).get("functionCallingConfig") or {})
    mode = str(config.get("mode", "AUTO")).upper()
    if mode not in MODES:
        raise wrong(f"Invalid value at 'tool_config.function_calling_config.mode', {config['mode']!r}")
    allowed = config.get("allowedFunctionNames") or ()
    if mode == "ANY" and not names:
        raise wrong("Function calling config is set without function_declarations.")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise wrong("Allowed function names should only be set when function calling mode is ANY or VALIDATED.")
    if [name for name in allowed if name not in names]:
        raise wrong("Allowed function names must be a subset of the declared functions.")
    mime = camel(body.get("generationConfig") or {}).get("responseMimeType")
    if names and mime == "application/json" and not model.startswith("gemini-3"):
        raise wrong("Function calling with a response mime type: 'application/json' is unsupported")
