"""What vendors that count tokens share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmkit.errors import InvalidRequestError, InvalidResponseError
from llmkit.values.counts import TokenCount
from llmkit.values.instances import Instance
from llmkit.values.messages import Text, ToolResult
from llmkit.values.other_calls import CountCall
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_object

if TYPE_CHECKING:
    from llmkit_providers._dialects.openai_chat import OpenAIChat

WITHOUT_TEMPLATE = "of the texts alone: not what the vendor puts around messages"


def counted(reply: HttpReply, name: str, by: str) -> TokenCount:
    """The count under ``name`` in a reply's JSON.

    :raises InvalidResponseError: if there is none.
    """
    found = parse_object(reply.body).get(name)
    return _exact(found, by, name)


def counted_texts(reply: HttpReply, name: str, by: str) -> TokenCount:
    """How many tokens are listed under ``name``: a count of texts, which is not the whole prompt's.

    :raises InvalidResponseError: if there is no list.
    """
    found = parse_object(reply.body).get(name)
    if not isinstance(found, list):
        raise InvalidResponseError(f"the reply has no list of tokens as {name}")
    return TokenCount(len(found), False, f"{by}, {WITHOUT_TEMPLATE}")


def _exact(found: Any, by: str, name: str) -> TokenCount:
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise InvalidResponseError(f"the reply has no number of tokens as {name}")
    return TokenCount(found, True, by)


def texts(call: CountCall, most: int | None = None) -> str:
    """The texts of a prompt, for a vendor that counts nothing else.

    :param most: characters that the vendor takes.
    :raises InvalidRequestError: if the prompt holds something else, no text, or too much.
    """
    found = []
    for message in call.messages:
        for part in message.content:
            content = part.content if isinstance(part, ToolResult) else part.text if isinstance(part, Text) else None
            if not isinstance(content, str):
                raise InvalidRequestError(f"count_tokens: this vendor counts text only, not a part of type {part.type!r}")
            found.append(content)
    if call.options.tools:
        raise InvalidRequestError("count_tokens: this vendor counts text only, not tools")
    joined = "\n".join(found)
    if not joined or (most is not None and len(joined) > most):
        raise InvalidRequestError(f"count_tokens: this vendor takes 1 to {most or 'any number of'} characters, got {len(joined)}")
    return joined


def only(extra: Mapping[str, Any] | None, names: frozenset[str]) -> dict[str, Any]:
    """Those fields of ``extra`` that a counting endpoint takes."""
    return {name: value for name, value in (extra or {}).items() if name in names}


def vllm_request(provider: OpenAIChat, call: CountCall, instance: Instance) -> HttpRequest:
    """vLLM's ``POST /tokenize`` of a conversation."""
    from llmkit_providers._dialects.openai_messages import encode_messages, encode_tools

    body: dict[str, Any] = {"model": instance.model, "messages": encode_messages(call.messages, provider)}
    if call.options.tools:
        body["tools"] = encode_tools(call.options.tools, provider.strict(instance))
    body.update(only(call.options.extra, frozenset({"chat_template", "chat_template_kwargs", "mm_processor_kwargs"})))
    return beside(provider, instance, "/tokenize", body)


def beside(provider: OpenAIChat, instance: Instance, path: str, body: Mapping[str, Any]) -> HttpRequest:
    """A request for an endpoint that stands beside ``/v1``, not under it."""
    root = provider.root(instance).removesuffix("/v1")
    return HttpRequest("POST", root + path, {"Content-Type": "application/json"}, dump_json(body))
