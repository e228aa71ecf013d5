"""What is said: messages and their parts.

A message's content is a tuple of parts. Every part can carry ``extra``: what one vendor attached to it and wants to have
sent back (a thought signature, cache marks), keyed by the provider's name, so that it never reaches another vendor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, get_args

import attrs

from llmkit.errors import InvalidRequestError, shown
from llmkit.values.base import Value

if TYPE_CHECKING:
    from pathlib import Path

Extra = Union[Mapping[str, Any], None]
Role = Literal["system", "user", "assistant", "tool"]
ROLES = ("user", "assistant", "system", "tool")


@attrs.frozen(eq=False, repr=False)
class Text(Value):
    """Plain text."""

    type: ClassVar[Literal["text"]] = "text"
    text: str
    extra: Extra = None


@attrs.frozen(eq=False, repr=False)
class _Media(Value):
    """Bytes, a URL the vendor fetches, or the id of a file the vendor already has: exactly one of the three."""

    data: bytes | None = attrs.field(default=None, repr=lambda data: "None" if data is None else f"<{len(data)} bytes>")
    url: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    extra: Extra = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        given = [name for name in ("data", "url", "file_id") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidRequestError(
                f"{type(self).__name__} takes exactly one of data, url, file_id; got {', '.join(given) or 'none'}"
            )
        if self.data is not None and not isinstance(self.data, bytes):
            name = type(self).__name__
            raise InvalidRequestError(f"{name}.data: expected bytes, got {type(self.data).__name__}; an address is {name}(url=...)")

    @classmethod
    def from_path(cls, path: str | Path, media_type: str | None = None) -> Any:
        """Read a file; its media type is guessed from its name unless given.

        :raises OSError: if the file cannot be read.
        """
        import mimetypes
        from pathlib import Path

        path = Path(path)
        guessed = media_type or mimetypes.guess_type(path.name)[0]
        return cls(data=path.read_bytes(), media_type=guessed)


@attrs.frozen(eq=False, repr=False)
class Image(_Media):
    """A picture. ``detail`` (``low``, ``high``, ``auto``) is passed on where a vendor has it."""

    type: ClassVar[Literal["image"]] = "image"
    detail: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen(eq=False, repr=False)
class Audio(_Media):
    """A sound clip."""

    type: ClassVar[Literal["audio"]] = "audio"


@attrs.frozen(eq=False, repr=False)
class File(_Media):
    """A document, such as a PDF. ``name`` is what the vendor shows the model."""

    type: ClassVar[Literal["file"]] = "file"
    name: str | None = attrs.field(default=None, kw_only=True)

    @classmethod
    def from_path(cls, path: str | Path, media_type: str | None = None) -> Any:
        """Read a file and keep its name."""
        from pathlib import PurePath

        return attrs.evolve(super().from_path(path, media_type), name=PurePath(path).name)


@attrs.frozen(eq=False, repr=False)
class ToolCall(Value):
    """The model asks the client to run a tool.

    ``arguments`` is the parsed object, empty where the model's text was no JSON object; ``raw`` is that text as it was
    sent, and ``valid`` says whether it could be parsed.
    """

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    id: str
    name: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    raw: str | None = None
    valid: bool = True
    extra: Extra = None


@attrs.frozen(eq=False, repr=False)
class ToolResult(Value):
    """What a tool answered. ``content`` is text, or parts for the vendors that take pictures in results."""

    type: ClassVar[Literal["tool_result"]] = "tool_result"
    call_id: str
    content: str | tuple[Text | Image | File, ...] = ""
    name: str | None = None
    is_error: bool = False
    extra: Extra = None


@attrs.frozen(eq=False, repr=False)
class Reasoning(Value):
    """The model's thinking. ``signature`` and ``redacted`` (opaque data) must go back to the ``provider`` they came from,
    and go to no other."""

    type: ClassVar[Literal["reasoning"]] = "reasoning"
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    provider: str | None = None
    extra: Extra = None


@attrs.frozen(eq=False, repr=False)
class Refusal(Value):
    """The model declined, in words the vendor keeps apart from ordinary text."""

    type: ClassVar[Literal["refusal"]] = "refusal"
    text: str
    extra: Extra = None


@attrs.frozen(eq=False, repr=False)
class VendorPart(Value):
    """A part that only ``provider`` understands (a tool that the vendor ran itself, a citation block), kept as it was sent so
    that it can be sent back."""

    type: ClassVar[Literal["vendor"]] = "vendor"
    provider: str
    data: Mapping[str, Any]


Part = Union[Text, Image, Audio, File, ToolCall, ToolResult, Reasoning, Refusal, VendorPart]
PARTS = get_args(Part)
Content = Union[str, Part, Sequence[Union[str, Part]]]


def parts(content: Content) -> tuple[Part, ...]:
    """A message's content, however it was written, as a tuple of parts.

    :raises InvalidRequestError: if something in it is neither text nor a part.
    """
    if isinstance(content, str):
        return (Text(content),)
    if isinstance(content, Value):
        content = (content,)
    if not isinstance(content, Sequence) or isinstance(content, (bytes, bytearray)):
        raise InvalidRequestError(f"Message.content: expected text, a part or a list of them, got {type(content).__name__}")
    for position, part in enumerate(content):
        if type(part) not in PARTS and not isinstance(part, (str, *PARTS)):
            raise InvalidRequestError(f"Message.content[{position}]: expected text or a part, got {type(part).__name__}")
    return tuple([Text(part) if isinstance(part, str) else part for part in content])


@attrs.frozen(init=False, slots=False, eq=False, repr=False)
class Message(Value):
    """One turn. ``content`` may be given as text, a part, or a list of both.

    :raises InvalidRequestError: if there is no such role.
    """

    role: Role
    content: tuple[Part, ...] = ()
    name: str | None = None
    extra: Extra = None

    def __init__(self, role: Role, content: Content = (), name: str | None = None, extra: Extra = None) -> None:
        if role not in ROLES:
            raise InvalidRequestError(f"Message.role: expected one of {', '.join(ROLES)}; got {shown(role)}")
        fields = self.__dict__  # two messages in every call: at a third of the cost of attrs' own converter and validator
        fields["role"] = role
        fields["content"] = (Text(content),) if type(content) is str else parts(content)
        fields["name"] = name
        fields["extra"] = extra

    @classmethod
    def system(cls, content: Content) -> Message:
        """Instructions that stand above the conversation."""
        return cls("system", content)

    @classmethod
    def user(cls, *content: str | Part) -> Message:
        """What the user says: ``Message.user("What is this?", Image.from_path("cat.png"))``."""
        return cls("user", content)

    @classmethod
    def assistant(cls, *content: str | Part) -> Message:
        """What the model said."""
        return cls("assistant", content)

    @classmethod
    def tool(cls, call: ToolCall | str, content: str, *, is_error: bool = False) -> Message:
        """What a tool answered to ``call`` (a :class:`ToolCall`, or its id)."""
        if isinstance(call, str):
            return cls("tool", ToolResult(call, content, is_error=is_error))
        return cls("tool", ToolResult(call.id, content, name=call.name, is_error=is_error))

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join([part.text for part in self.content if type(part) is Text])

    @property
    def reasoning(self) -> str:
        """All reasoning text, joined; empty where there is none."""
        return "".join([part.text for part in self.content if type(part) is Reasoning])

    @property
    def refusal(self) -> str | None:
        """The model's refusal, or None."""
        found = [part.text for part in self.content if type(part) is Refusal]
        return "".join(found) if found else None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls the client is asked to run, in order."""
        return tuple([part for part in self.content if type(part) is ToolCall])
