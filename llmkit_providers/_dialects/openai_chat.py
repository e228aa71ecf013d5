"""The OpenAI chat-completions dialect as a provider: https://platform.openai.com/docs/api-reference/chat

:class:`OpenAIChat` is what every vendor of this dialect shares. A vendor is a subclass that sets class attributes and, where it
really differs, replaces one of the small methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from llmkit.errors import ConfigError, InvalidRequestError, InvalidResponseError, LLMError
from llmkit.provider import Provider
from llmkit.values.base import trusted
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.instances import Instance
from llmkit.values.messages import Audio, File, Image, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from llmkit.values.options import NO_OPTIONS, Options
from llmkit.values.usage import Usage
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_json, parse_object
from llmkit_providers._dialects.media import base64, data_url, media_type
from llmkit_providers._dialects.openai_decode import content_parts, finish_reason, images, read_usage, tool_calls, word
from llmkit_providers._dialects.openai_messages import (
    encode_messages,
    encode_schema,
    encode_tools,
)

if TYPE_CHECKING:
    from llmkit.values.embeddings import Embeddings
    from llmkit.values.models import ModelList
    from llmkit.values.other_calls import EmbedCall, ModelsCall
    from llmkit_providers._dialects.openai_stream import OpenAIStream

AUDIO_FORMATS: Mapping[str, str] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
"""Media types as ``input_audio.format``; others go by the part after the slash."""

SAMPLING = frozenset({"max_tokens", "temperature", "top_p", "stop", "seed"})
TOOLS = frozenset({"tools", "tool_choice"})
JSON = frozenset({"json", "json_schema"})
IMAGES = frozenset({"images", "image_urls"})
CHAT = frozenset({"chat", "stream", "models"}) | SAMPLING | TOOLS | JSON
"""What nearly every vendor of the dialect can do."""


DICTS = {dict}
PLAIN = {"role", "content", "annotations"}
"""The fields of a message that says no more than its content."""


class OpenAIChat(Provider):
    """A vendor that speaks OpenAI's chat completions."""

    endpoints: ClassVar[tuple[str, ...]] = ("/chat/completions", "/embeddings", "/models")
    features = CHAT

    bare_path: ClassVar[str] = ""
    """Path added to a ``base_url`` that has none."""
    max_tokens_name: ClassVar[str] = "max_tokens"
    seed_name: ClassVar[str] = "seed"
    required_word: ClassVar[str] = "required"
    """How the vendor says that some tool must be called."""
    stream_usage: ClassVar[bool] = True
    """Whether streams tell their usage only if ``stream_options.include_usage`` asks for it."""
    reasoning_names: ClassVar[tuple[str, ...]] = ("reasoning_content", "reasoning")
    """Fields of messages and deltas that hold thinking, first non-empty wins."""
    refusal_field: ClassVar[bool] = False
    """Whether assistant messages take ``refusal``; elsewhere it goes back as text."""
    strict_schemas: ClassVar[bool] = True
    """Whether tools and JSON schemas take ``strict``; see :meth:`strict`."""
    message_names: ClassVar[bool] = True
    """Whether messages take ``name``."""
    text_lists: ClassVar[bool] = True
    """Whether a user's ``content`` may be a list of texts."""
    embed_path: ClassVar[str] = "/embeddings"
    dimensions_name: ClassVar[str] = "dimensions"
    file_urls: ClassVar[bool] = False
    """Whether ``file_data`` may be a URL."""
    result_names: ClassVar[bool] = False
    """Whether ``tool`` messages take the tool's ``name``."""

    # ------------------------------------------------------------------------------------------- what goes out

    def root(self, instance: Instance) -> str:
        """As the base; a ``base_url`` without a path gets :attr:`bare_path`."""
        root = super().root(instance)
        if not root:
            raise ConfigError(f"{self.title or self.name} needs a base_url", provider=self.name)
        return root + self.bare_path if self.bare_path and not urlsplit(root).path else root

    def url(self, instance: Instance, path: str) -> str:
        """The URL of an endpoint."""
        return self.root(instance) + path

    def request(self, method: str, instance: Instance, path: str, body: Mapping[str, Any] | None = None) -> HttpRequest:
        """A request for an endpoint, with a JSON body if there is one."""
        if body is None:
            return HttpRequest(method, self.url(instance, path), {"Accept": "application/json"})
        return HttpRequest(method, self.url(instance, path), {"Content-Type": "application/json"}, dump_json(body))

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """``POST /chat/completions``."""
        body: dict[str, Any] = {"model": instance.model, "messages": encode_messages(call.messages, self)}
        if call.options is not NO_OPTIONS:
            body.update(self.parameters(call.options, instance))
        if call.stream:
            body["stream"] = True
            if self.stream_usage:
                body["stream_options"] = {"include_usage": True}
        if call.options.extra:
            body.update(call.options.extra)
        return self.request("POST", instance, "/chat/completions", body)

    def parameters(self, options: Options, instance: Instance) -> dict[str, Any]:
        """The body's fields for the options that are set."""
        named = (
            (self.max_tokens_name, options.max_tokens),
            ("temperature", options.temperature),
            ("top_p", options.top_p),
            ("stop", None if options.stop is None else list(options.stop)),
            (self.seed_name, options.seed),
        )
        fields: dict[str, Any] = {name: value for name, value in named if value is not None}
        if options.reasoning_effort is not None:
            fields.update(self.effort(options.reasoning_effort))
        if options.tools:
            fields["tools"] = encode_tools(options.tools, self.strict(instance))
        if options.tool_choice is not None:
            fields["tool_choice"] = self.tool_choice(options.tool_choice)
        if options.response_format == "json":
            fields["response_format"] = {"type": "json_object"}
        elif options.response_format is not None:
            fields["response_format"] = encode_schema(options.response_format, self.strict(instance))
        return fields

    def strict(self, instance: Instance) -> bool:
        """Whether tools and JSON schemas take ``strict`` at this model."""
        return self.strict_schemas

    def effort(self, effort: str) -> dict[str, Any]:
        """The fields that say how much to think."""
        return {"reasoning_effort": effort}

    def tool_choice(self, choice: str) -> str | dict[str, Any]:
        """The ``tool_choice`` field."""
        if choice in ("auto", "none"):
            return choice
        if choice == "required":
            return self.required_word
        return {"type": "function", "function": {"name": choice}}

    def call_id(self, call_id: str) -> str:
        """A tool call's id as the vendor takes it."""
        return call_id

    def tool_message(self, result: ToolResult) -> dict[str, Any]:
        """The message for one tool result. Pictures in results have no place in this dialect.

        https://platform.openai.com/docs/api-reference/chat/create: the content of a tool message is text, or text parts.
        """
        said = result.content
        if not isinstance(said, str):
            if any(type(part) is not Text for part in said):
                raise InvalidRequestError(f"{self.title}: a tool result holds text only", provider=self.name)
            said = "".join([part.text for part in said if type(part) is Text])
        encoded: dict[str, Any] = {"role": "tool", "tool_call_id": self.call_id(result.call_id), "content": said}
        if self.result_names and result.name:
            encoded["name"] = result.name
        return encoded

    def image_part(self, image: Image) -> dict[str, Any]:
        """A picture: https://platform.openai.com/docs/guides/images-vision"""
        if image.file_id is not None:
            raise InvalidRequestError(f"{self.title}: pictures go as data or url, not as file_id", provider=self.name)
        inner: dict[str, Any] = {"url": image.url if image.url is not None else data_url(image)}
        if image.detail is not None:
            inner["detail"] = image.detail
        return {"type": "image_url", "image_url": inner}

    def audio_part(self, audio: Audio) -> dict[str, Any]:
        """A sound clip: https://platform.openai.com/docs/guides/audio"""
        if audio.data is None:
            raise InvalidRequestError(f"{self.title}: sound goes as data, not as url or file_id", provider=self.name)
        kind = media_type(audio)
        spelled = AUDIO_FORMATS.get(kind) or kind.partition("/")[2]
        return {"type": "input_audio", "input_audio": {"data": base64(audio), "format": spelled}}

    def file_part(self, file: File) -> dict[str, Any]:
        """A document: https://platform.openai.com/docs/guides/pdf-files"""
        if file.file_id is not None:
            return {"type": "file", "file": {"file_id": file.file_id}}
        if file.url is not None and not self.file_urls:
            raise InvalidRequestError(f"{self.title}: documents go as data or file_id, not as url", provider=self.name)
        inner = {"filename": file.name or "document.pdf", "file_data": file.url if file.url is not None else data_url(file)}
        return {"type": "file", "file": inner}

    def send_back(self, thoughts: Sequence[Reasoning], message: dict[str, Any], tools: bool) -> None:
        """Put the vendor's own thinking, if there is any, into an assistant message that goes back to it.

        :param tools: whether there are tool calls in the conversation.
        """

    # ------------------------------------------------------------------------------------------- what comes back

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """The completion in a whole reply."""
        document = parse_object(reply.body)
        if not document.get("choices"):
            self.check(document, reply.headers)
        return self.completion(document)

    def check(self, document: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Raise the error that a reply with status 200 holds instead of an answer."""
        if document.get("choices"):
            return
        if document.get("error") or document.get("object") == "error":
            raise self.inner_error(document, headers)

    def completion(self, document: dict[str, Any]) -> Completion:
        """The completion in a parsed reply.

        :raises InvalidResponseError: if it has no choices.
        """
        get = document.get
        choices = get("choices")
        if type(choices) is not list or not choices or {*map(type, choices)} != DICTS:
            raise InvalidResponseError("the reply has no choices", provider=self.name)
        first = choices[0]
        reason = first.get("finish_reason")
        fields: dict[str, Any] = {
            "raw_finish_reason": word(reason),
            "usage": self.usage_in(document),
            "model": word(get("model")),
            "id": word(get("id")),
            "raw": document,
        }
        text = self.plain(first)
        if text is None:
            message = fields["message"] = self.message(first)
            parts = message.content
            fields["finish_reason"] = finish_reason(reason, bool(parts) and type(parts[-1]) is ToolCall)  # calls stand last
        else:
            fields["_text"] = text
            fields["finish_reason"] = finish_reason(reason, False)
        if len(choices) > 1:
            fields["alternatives"] = tuple([self.message(choice) for choice in choices[1:]])
        return trusted(Completion, fields)

    def plain(self, choice: Mapping[str, Any]) -> str | None:
        """The text of a choice that is nothing else, as most are; None for any other."""
        message = choice.get("message")
        if type(message) is not dict:
            return None
        for name in message.keys() - PLAIN:
            if message[name]:
                return None
        text = message.get("content")
        return text if type(text) is str else None

    def message(self, choice: Mapping[str, Any]) -> Message:
        """The message of a choice; an empty one where a filter has taken it away."""
        message = choice.get("message")
        if type(message) is not dict:
            return Message("assistant", ())
        parts: list[Part] = list(self.thoughts(message))
        content = message.get("content")
        if type(content) is str:
            if content:
                parts.append(Text(content))
        elif content is not None:
            parts += content_parts(content, self.name)
        if not message.keys() <= PLAIN:
            if message.get("images"):
                parts += images(message)
            if message.get("refusal") and isinstance(message["refusal"], str):
                parts.append(Refusal(message["refusal"]))
            if message.get("tool_calls") or message.get("function_call"):
                parts += tool_calls(message, self.name)
        return trusted(Message, {"role": "assistant", "content": tuple(parts), "name": None, "extra": None})

    def thoughts(self, message: Mapping[str, Any]) -> list[Reasoning]:
        """The thinking of a whole message."""
        text = self.thought(message)
        return [Reasoning(text, provider=self.name)] if text else []

    def thought(self, message: Mapping[str, Any]) -> str:
        """The thinking in a message or a delta; empty where there is none."""
        for name in self.reasoning_names:
            if name in message:
                text = message[name]
                if text and isinstance(text, str):
                    return text
        return ""

    def usage_in(self, document: Mapping[str, Any]) -> Usage | None:
        """The usage that a reply, or a chunk of a stream, tells."""
        return self.usage(document.get("usage"))

    def usage(self, usage: Any) -> Usage | None:
        """The tokens in a ``usage`` object."""
        return read_usage(usage)

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> OpenAIStream:
        """A decoder for one streamed reply."""
        from llmkit_providers._dialects.openai_stream import OpenAIStream  # with its events: only streams need them

        return OpenAIStream(self, headers)

    # ------------------------------------------------------------------------------------------- errors

    def error(self, reply: HttpReply) -> LLMError:
        """The typed error for a reply whose status is not 2xx."""
        from llmkit_providers._dialects import openai_errors  # most calls are answered

        return openai_errors.of_reply(self, reply)

    def inner_error(self, document: Mapping[str, Any], headers: Mapping[str, str]) -> LLMError:
        """The typed error for an error document under status 200, or in a stream."""
        from llmkit_providers._dialects import openai_errors

        return openai_errors.of_document(self, document, headers)

    def error_words(self, document: Any) -> tuple[str, tuple[str, ...]]:
        """The message and the codes (most specific first) of a parsed error body."""
        from llmkit_providers._dialects import openai_errors

        return openai_errors.words(document)

    # ------------------------------------------------------------------------------------------- embeddings, models

    def encode_embed(self, call: EmbedCall, instance: Instance) -> HttpRequest:
        """``POST /embeddings``."""
        if "embeddings" not in self.features:
            raise self.cannot("embeddings")
        if call.dimensions is not None and "dimensions" not in self.features:
            raise self.cannot("dimensions")
        from llmkit_providers._dialects import openai_embeddings  # most programs only chat

        return self.request("POST", instance, self.embed_path, openai_embeddings.encode(call, instance, self.dimensions_name))

    def decode_embed(self, call: EmbedCall, reply: HttpReply) -> Embeddings:
        """The vectors in a reply, in the order of the texts."""
        from llmkit_providers._dialects import openai_embeddings

        document = parse_object(reply.body)
        if document.get("error") or document.get("object") == "error":
            raise self.inner_error(document, reply.headers)
        return openai_embeddings.decode(document, self.usage_in(document), self.vector)

    def vector(self, embedding: Any) -> tuple[float, ...]:
        """One embedding as numbers."""
        from llmkit_providers._dialects import openai_embeddings

        return openai_embeddings.vector(embedding)

    def encode_models(self, call: ModelsCall, instance: Instance) -> HttpRequest:
        """``GET /models``."""
        if "models" not in self.features:
            raise self.cannot("models")
        return self.request("GET", instance, "/models")

    def decode_models(self, call: ModelsCall, reply: HttpReply) -> ModelList:
        """The models in a reply."""
        from llmkit_providers._dialects import openai_embeddings

        document = parse_json(reply.body)
        if isinstance(document, dict) and document.get("error"):
            raise self.inner_error(document, reply.headers)
        return openai_embeddings.models(document, self.name)
