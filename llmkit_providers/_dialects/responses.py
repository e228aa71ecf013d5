"""The Responses dialect, as OpenAI documents it: https://platform.openai.com/docs/api-reference/responses

A conversation goes out as ``input`` items and comes back as ``output`` items: messages, function calls, thinking, and whatever the
vendor's own tools found. :class:`Responses` is what a vendor of the dialect says of itself; it works beside a provider of the
chat-completions dialect, from which it has the address, the way errors are read and everything that is no chat.

- ``status`` says how an answer ended: ``completed``, ``incomplete`` with its reason beside it, or ``failed`` and ``cancelled``,
  which are errors that come with status 200: https://platform.openai.com/docs/api-reference/responses/object
- ``input_tokens`` include the cached ones and ``output_tokens`` the thinking (same page, ``usage``).
- Thinking is not sent back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.errors import InvalidRequestError, InvalidResponseError
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.instances import Instance
from llmkit.values.messages import File, Image, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.options import Options
from llmkit.values.usage import Usage, tokens
from llmkit.wire.http import HttpRequest
from llmkit.wire.json import dump_json
from llmkit_providers._dialects.media import data_url
from llmkit_providers._dialects.openai_decode import tool_call, word
from llmkit_providers._dialects.openai_messages import encode_schema, encode_tools, own

if TYPE_CHECKING:
    from llmkit.values.tools import JsonSchema, ToolLike
    from llmkit_providers._dialects.openai_chat import OpenAIChat
    from llmkit_providers._dialects.responses_stream import ResponsesStream

INCOMPLETE: Mapping[str, FinishReason] = {
    "max_output_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""``incomplete_details.reason``: https://platform.openai.com/docs/api-reference/responses/object"""

FAILED = ("failed", "cancelled")
UNFINISHED = ("queued", "in_progress")


class Responses:
    """How one vendor speaks the dialect; a subclass sets attributes and replaces what its vendor does otherwise.

    :param vendor: the provider it speaks for.
    """

    path: ClassVar[str] = "/responses"
    call_deltas: ClassVar[bool] = True
    """Whether a function call's arguments are handed on as they come. False where a call that is announced may turn out to be one
    of the vendor's own, so that only a finished one counts."""
    vendors_calls: ClassVar[frozenset[str]] = frozenset()
    """Names of functions that the vendor runs itself: a call of these is not for the client."""

    def __init__(self, vendor: OpenAIChat) -> None:
        self.vendor = vendor

    # ------------------------------------------------------------------------------------------- what goes out

    def encode(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """The request for a chat call."""
        body = self.model(instance)
        system, body["input"] = self.input(call.messages)
        if system:
            body["instructions"] = system
        body.update(self.parameters(call.options, instance))
        if call.stream:
            body["stream"] = True
        if call.options.extra:
            body.update(call.options.extra)
        return self.vendor.request("POST", instance, self.path, body)

    def model(self, instance: Instance) -> dict[str, Any]:
        """The fields that say who is to answer."""
        return {"model": instance.model}

    def parameters(self, options: Options, instance: Instance) -> dict[str, Any]:
        """The body's fields for the options that are set."""
        named = (
            ("max_output_tokens", options.max_tokens),
            ("temperature", options.temperature),
            ("top_p", options.top_p),
            ("reasoning", None if options.reasoning_effort is None else {"effort": options.reasoning_effort}),
            ("tool_choice", None if options.tool_choice is None else self.tool_choice(options.tool_choice)),
        )
        fields: dict[str, Any] = {name: value for name, value in named if value is not None}
        strict = self.vendor.strict(instance)
        if options.tools:
            fields["tools"] = [_tool(tool, strict) for tool in options.tools]
        if options.response_format == "json":
            fields.update(self.answer_format({"type": "json_object"}))
        elif options.response_format is not None:
            fields.update(self.schema(options.response_format, strict))
        return fields

    def tool_choice(self, choice: str) -> str | dict[str, Any]:
        """The ``tool_choice`` field."""
        return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}

    def answer_format(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The field that says what form the answer has."""
        return {"text": {"format": wanted}}

    def schema(self, wanted: JsonSchema, strict: bool) -> dict[str, Any]:
        """The field for an answer of a given shape: https://platform.openai.com/docs/guides/structured-outputs"""
        return self.answer_format({"type": "json_schema", **encode_schema(wanted, strict)["json_schema"]})

    def input(self, messages: Sequence[Message]) -> tuple[str, list[dict[str, Any]]]:
        """The system text at the beginning of a conversation, and what follows as items. System messages that are all there is, or
        that stand further down, are items."""
        first = next((at for at, message in enumerate(messages) if message.role != "system"), 0)
        calls: dict[str, ToolCall] = {}
        items: list[dict[str, Any]] = []
        for message in messages[first:]:
            self._items(message, calls, items)
        return "\n\n".join([message.text for message in messages[:first]]), items

    def _items(self, message: Message, calls: dict[str, ToolCall], items: list[dict[str, Any]]) -> None:
        said: list[Part] = []
        after: list[dict[str, Any]] = []
        for part in message.content:
            if type(part) is ToolResult:
                items.append(self.result_item(part, calls.get(part.call_id)))
            elif type(part) is ToolCall:
                calls[part.id] = part
                after.append(self.call_item(part))
            elif type(part) is VendorPart:
                if part.provider == self.vendor.name:
                    after.append(dict(part.data))
            elif type(part) is Refusal:
                said.append(Text(part.text))
            elif type(part) is not Reasoning:
                said.append(part)
        if message.role == "tool" and said:
            raise InvalidRequestError("a tool message holds tool results only")
        if said:
            items.append({"type": "message", "role": message.role, "content": self.content(said)})
        items += after

    def content(self, parts: Sequence[Part]) -> str | list[dict[str, Any]]:
        """Parts as a ``content`` field: one text, or a list where there is more than text."""
        texts = [part for part in parts if type(part) is Text]
        if len(texts) == len(parts):
            return "".join([part.text for part in texts])
        return [self.part(part) for part in parts]

    def part(self, part: Part) -> dict[str, Any]:
        """One part of a message that has more than text."""
        if type(part) is Text:
            return {"type": "input_text", "text": part.text}
        if type(part) is Image:
            return self.image_part(part)
        if type(part) is File:
            return self.file_part(part)
        raise InvalidRequestError(f"a {part.type} part cannot stand in this message")

    def image_part(self, image: Image) -> dict[str, Any]:
        """A picture: https://platform.openai.com/docs/guides/images-vision?api-mode=responses"""
        if image.file_id is not None:
            given: dict[str, Any] = {"file_id": image.file_id}
        else:
            given = {"image_url": image.url if image.url is not None else data_url(image)}
        return {"type": "input_image", **given, **({} if image.detail is None else {"detail": image.detail})}

    def file_part(self, file: File) -> dict[str, Any]:
        """A document: https://platform.openai.com/docs/guides/pdf-files?api-mode=responses"""
        if file.file_id is not None:
            return {"type": "input_file", "file_id": file.file_id}
        if file.url is not None:
            return {"type": "input_file", "file_url": file.url}
        return {"type": "input_file", "filename": file.name or "document.pdf", "file_data": data_url(file)}

    def call_item(self, call: ToolCall) -> dict[str, Any]:
        """A tool call that the model made earlier."""
        arguments = call.raw if call.raw and call.raw.strip() else dump_json(dict(call.arguments)).decode()
        item = {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}
        return {**item, **own(call.extra, self.vendor)}

    def result_item(self, result: ToolResult, call: ToolCall | None) -> dict[str, Any]:
        """What a tool answered.

        :param call: what it answers, where that stands in the conversation.
        """
        text = self.vendor.tool_message(result)["content"]
        return {"type": "function_call_output", "call_id": result.call_id, "output": text}

    # ------------------------------------------------------------------------------------------- what comes back

    def completion(self, document: dict[str, Any]) -> Completion:
        """The completion in a parsed reply in which :meth:`check` has found no error.

        :raises InvalidResponseError: if it is no answer.
        """
        name, output = self.vendor.name, document.get("output")
        if type(output) is not list:
            raise InvalidResponseError("the reply has no output", provider=name)
        if document.get("status") in UNFINISHED:
            raise InvalidResponseError(f"the answer is not there yet: its status is {document['status']}", provider=name)
        parts = self.parts(output)
        finish, raw_finish = finish_reason(document, any(type(part) is ToolCall for part in parts))
        return Completion(
            Message("assistant", parts),
            finish,
            raw_finish,
            read_usage(document.get("usage")),
            word(document.get("model")),
            word(document.get("id")),
            raw=document,
        )

    def check(self, document: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Raise the error that a response holds instead of an answer."""
        error, status = document.get("error"), document.get("status")
        if error or status in FAILED:
            error = error or {"message": f"the vendor ended the answer and says no more than that it is {status}"}
            raise self.vendor.inner_error({"error": error}, headers)

    def parts(self, output: Sequence[Any]) -> list[Part]:
        """The parts of an answer in its items; calls stand last. What the vendor's own tools found stays in the raw answer."""
        found: list[Part] = []
        calls: list[Part] = []
        for item in output:
            kind = item.get("type") if type(item) is dict else None
            if kind == "message":
                found += message_parts(item)
            elif kind == "reasoning" and (thought := thinking(item)):
                found.append(Reasoning(thought, provider=self.vendor.name))
            elif kind == "function_call" and self.for_client(item):
                calls.append(self.call(item, len(calls)))
        return found + calls

    def for_client(self, item: Mapping[str, Any]) -> bool:
        """Whether a ``function_call`` item asks the client to run something."""
        return word(item.get("name")) not in self.vendors_calls

    def call(self, item: Mapping[str, Any], position: int) -> ToolCall:
        """A call in a ``function_call`` item."""
        name = word(item.get("name")) or ""
        return tool_call(call_id(item) or f"call_{position}", name, item.get("arguments"), self.call_extra(item))

    def call_extra(self, item: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the vendor attached to a call and wants back."""
        return None

    def decoder(self, headers: Mapping[str, str]) -> ResponsesStream:
        """A decoder for one streamed reply."""
        from llmkit_providers._dialects.responses_stream import ResponsesStream  # with its events: only streams need them

        return ResponsesStream(self, headers)


def _tool(tool: ToolLike, strict: bool) -> dict[str, Any]:
    """A function under the names of this dialect, not nested; mappings go out as they are."""
    if isinstance(tool, Mapping):
        return dict(tool)
    (encoded,) = encode_tools([tool], strict)
    return {"type": "function", **encoded["function"]}


def call_id(item: Mapping[str, Any]) -> str | None:
    """What a call's result must name."""
    return word(item.get("call_id")) or word(item.get("id"))


def message_parts(item: Mapping[str, Any]) -> list[Part]:
    """What a ``message`` item says."""
    content = item.get("content")
    if type(content) is str:  # not in the format, but plain enough
        return [Text(content)] if content else []
    parts: list[Part] = []
    for part in content if type(content) is list else ():
        if type(part) is not dict:
            continue
        text, refusal = part.get("text"), part.get("refusal")
        if type(text) is str and text:
            parts.append(Text(text))
        elif type(refusal) is str and refusal:
            parts.append(Refusal(refusal))
    return parts


def thinking(item: Mapping[str, Any]) -> str:
    """The text of a ``reasoning`` item: its own where the vendor shows it, else its summary."""
    for name in ("content", "summary"):
        listed = item.get(name)
        texts = [part.get("text") for part in listed if type(part) is dict] if type(listed) is list else []
        if found := "".join([text for text in texts if type(text) is str]):
            return found
    return ""


def finish_reason(document: Mapping[str, Any], has_calls: bool) -> tuple[FinishReason, str | None]:
    """The common word for how a response ended, and the vendor's own."""
    status = word(document.get("status"))
    if status == "incomplete":
        details = document.get("incomplete_details")
        reason = word(details.get("reason")) if type(details) is dict else None
        return INCOMPLETE.get(reason or "", FinishReason.UNKNOWN), reason or status
    if has_calls:
        return FinishReason.TOOL_CALLS, status
    return FinishReason.STOP if status == "completed" else FinishReason.UNKNOWN, status


def read_usage(usage: Any) -> Usage | None:
    """Tokens of an answer; None where there are none, or none believable.

    Cached ones are ``input_tokens_details.cached_tokens`` (https://platform.openai.com/docs/api-reference/responses/object);
    Perplexity says ``cache_read_input_tokens`` and ``cache_creation_input_tokens`` as well.
    """
    if type(usage) is not dict:
        return None
    get = usage.get
    counts = [get("input_tokens"), get("output_tokens"), get("total_tokens")]
    if counts == [None, None, None]:
        return None
    read, written = get("input_tokens_details"), get("output_tokens_details")
    read, written = read if type(read) is dict else {}, written if type(written) is dict else {}
    details = [read.get("cached_tokens"), read.get("cache_read_input_tokens"), read.get("cache_creation_input_tokens")]
    try:
        prompt, completion, total = [tokens(count) for count in counts]
        cached, cache_read, kept = [tokens(count) for count in details]
        reasoning = tokens(written.get("reasoning_tokens"))
    except ValueError:
        return None
    return Usage(prompt, completion, total or prompt + completion, max(cached, cache_read), kept, reasoning)
