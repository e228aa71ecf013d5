"""Putting streamed tool calls together although servers number and name their fragments in many ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.errors import InvalidResponseError
from llmkit.values.events import ToolCallDelta
from llmkit.wire.json import dump_json, parse_json
from llmkit_providers._dialects.openai_decode import call_extra, word


class _Call:
    """What is known of one call that is being streamed."""

    __slots__ = ("arguments", "custom", "id", "index", "name", "position")

    def __init__(self, position: int, call_id: str | None, name: str | None, index: int | None) -> None:
        self.position = position
        self.id = call_id
        self.name = name
        self.index = index
        self.custom = False
        self.arguments: list[str] = []


class CallFragments:
    """The calls of one stream.

    OpenAI sends the id and the name once and tells calls apart by ``index``. Others repeat the name in every fragment, leave
    ``index`` or ``id`` out, send ``""`` for them, give parallel calls one index and different ids, or send whole calls.
    """

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[int, list[_Call]] = {}

    def any(self, choice: int) -> bool:
        """Whether ``choice`` has calls."""
        return choice in self._calls

    def read(self, fragments: list[Any], choice: int, provider: str) -> list[ToolCallDelta]:
        """The events for the ``tool_calls`` of one delta. A fragment that says nothing new is no event."""
        events = []
        touched: set[int] = set()
        for fragment in fragments:
            if type(fragment) is dict:
                event = self._fragment(fragment, choice, provider, touched)
                touched.add(event.position)
                if event.id or event.name or event.arguments or event.extra:
                    events.append(event)
        return events

    def close(self, choice: int) -> list[ToolCallDelta]:
        """The events that end what is still open when a choice finishes."""
        return [ToolCallDelta(call.position, None, None, '"}', choice) for call in self._calls.get(choice, ()) if call.custom]

    def _fragment(self, fragment: Mapping[str, Any], choice: int, provider: str, touched: set[int]) -> ToolCallDelta:
        function = fragment.get("function")
        custom = fragment.get("custom")
        if type(custom) is dict:  # text that is no JSON, sent on as the argument "input"
            function = {"name": custom.get("name"), "arguments": dump_json(_text(custom.get("input"))).decode()[1:-1]}
        elif type(function) is not dict:
            function = {}
        call_id, name, arguments = word(fragment.get("id")), word(function.get("name")), _text(function.get("arguments"))
        given = fragment.get("index")
        index = given if type(given) is int else None
        extra = call_extra(fragment, provider)
        calls = self._calls.setdefault(choice, [])
        call = _continued(calls, index, call_id, name, arguments, touched)
        if call is None:
            call = _Call(len(calls), call_id, name, index)
            calls.append(call)
            if type(custom) is dict:
                call.custom = True
                arguments = '{"input":"' + arguments
            call.arguments.append(arguments)
            return ToolCallDelta(call.position, call_id or f"call_{call.position}", name or "", arguments, choice, extra)
        call.arguments.append(arguments)
        late = name if name and not call.name else None
        call.name = call.name or name
        return ToolCallDelta(call.position, None, late, arguments, choice, extra)


def _continued(
    calls: list[_Call], index: int | None, call_id: str | None, name: str | None, arguments: str, touched: set[int]
) -> _Call | None:
    """The call that a fragment goes on with; None where it begins another."""
    if not calls:
        return None
    if index is None:
        found = next((call for call in calls if call_id and call.id == call_id), None)
        if found is not None:
            return found
        call = calls[-1]
        if call.position in touched:
            return None
    else:
        same = [call for call in calls if call.index == index]
        if not same:
            return None
        call = next((call for call in same if call_id and call.id == call_id), same[-1])
    if call_id:
        return call if call.id == call_id else None
    if name and call.name and (name != call.name or (_whole(call) and arguments.lstrip().startswith("{"))):
        return None
    return call


def _whole(call: _Call) -> bool:
    """Whether a call's arguments are a JSON object already."""
    try:
        return type(parse_json("".join(call.arguments))) is dict
    except InvalidResponseError:
        return False


def _text(arguments: Any) -> str:
    """A fragment of arguments as text; some servers send the object itself."""
    if type(arguments) is str:
        return arguments
    return "" if arguments is None else dump_json(arguments).decode()
