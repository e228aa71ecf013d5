"""Gemini's wire, from https://ai.google.dev/api and .../gemini-api/docs: requests, answers, streams, errors. No I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.errors import (
    AuthenticationError,
    ContextLengthError,
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.completion import Completion
from llmkit.values.events import Event, RawEvent
from llmkit.values.instances import Instance
from llmkit.values.messages import (
    Audio,
    File,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    VendorPart,
)
from llmkit.values.options import Options
from llmkit.values.other_calls import EmbedCall, ModelsCall
from llmkit.values.secret import Secret
from llmkit.values.tools import JsonSchema, Tool
from llmkit.values.usage import Usage
from llmkit.wire.fold import fold
from llmkit.wire.http import HttpReply
from llmkit_providers.google import Google

PROVIDER = Google()
DEADLINE = Deadline(600.0, 600.0)
PNG = b"\x89PNG\r\n\x1a\n0000"
VERTEX = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"


def call(*messages: Message, stream: bool = False, **options: Any) -> ChatCall:
    return ChatCall(deadline=DEADLINE, messages=messages or (Message.user("Hi"),), options=Options(**options), stream=stream)


def sent(chat: ChatCall, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    body = PROVIDER.encode(chat, Instance("google", model)).body
    assert body is not None
    return json.loads(body)


def contents(*messages: Message, model: str = "gemini-2.5-flash") -> Any:
    return sent(call(*messages), model)["contents"]


def reply(document: Any, status: int = 200, **headers: str) -> HttpReply:
    return HttpReply(status, headers, json.dumps(document).encode())


def answer(*parts: dict[str, Any], finish: str | None = "STOP", **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r1", **fields}


def decode(document: dict[str, Any]) -> Completion:
    return PROVIDER.decode(call(), reply(document))


# ---------------------------------------------------------------------------------------------------- requests


class TestRequests:
    def test_plain(self) -> None:
        request = PROVIDER.encode(call(), Instance("google", "gemini-2.5-flash"))
        assert request.method == "POST"
        assert request.url == "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"
        assert json.loads(request.body or b"") == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}

    def test_streamed(self) -> None:
        request = PROVIDER.encode(call(stream=True), Instance("google", "models/gemini-x"))
        assert request.url.endswith("/v1beta/models/gemini-x:streamGenerateContent?alt=sse")
        assert b"stream" not in (request.body or b"")

    @pytest.mark.parametrize(
        ("base_url", "expected"),
        [
            ("https://p.test", "https://p.test/v1beta"),
            ("https://p.test/v1beta/", "https://p.test/v1beta"),
            ("https://p.test/v1", "https://p.test/v1"),
            ("https://p.test/v1beta/models", "https://p.test/v1beta"),
            ("https://p.test/v1beta/models/gemini-x:generateContent", "https://p.test/v1beta"),
            (VERTEX, VERTEX),
            ("https://aiplatform.googleapis.com/v1/projects/p/locations/global", VERTEX),
            ("https://us-east5-aiplatform.googleapis.com", "https://us-east5-aiplatform.googleapis.com/v1/publishers/google"),
        ],
    )
    def test_root(self, base_url: str, expected: str) -> None:
        assert PROVIDER.root(Instance("google", "m", base_url=base_url)) == expected

    def test_vertex_behind_another_host(self) -> None:
        instance = Instance("google", "m", base_url="https://p.test/v1/projects/p/locations/l", settings={"vertex": True})
        request = PROVIDER.encode(call(), instance)
        assert request.url == "https://p.test/v1/projects/p/locations/l/publishers/google/models/m:generateContent"
        assert PROVIDER.authorize(request, Secret("ya29.token")).headers["Authorization"] == "Bearer ya29.token"

    def test_key(self) -> None:
        """A key never stands in the URL; an access token is for Vertex AI alone, which takes API keys too."""
        request = PROVIDER.authorize(PROVIDER.encode(call(), Instance("google", "m")), Secret("secret1"))
        assert request.headers["x-goog-api-key"] == "secret1"
        assert "secret1" not in request.url
        vertex = PROVIDER.encode(call(), Instance("google", "m", base_url=VERTEX))
        assert PROVIDER.authorize(vertex, Secret("ya29.t")).headers["Authorization"] == "Bearer ya29.t"
        assert PROVIDER.authorize(vertex, Secret("AIzaX")).headers["x-goog-api-key"] == "AIzaX"

    def test_options(self) -> None:
        schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {}}}
        body = sent(
            call(
                max_tokens=7,
                temperature=0.5,
                top_p=0.9,
                stop="END",
                seed=1,
                reasoning_effort="low",
                response_format=JsonSchema(schema),
                tools=[Tool("f", "does", {"type": "object"}), {"googleSearch": {}}, Tool("g")],
                tool_choice="f",
                extra={
                    "safetySettings": [],
                    "generationConfig": {"topK": 5, "seed": 2, "thinkingConfig": {"includeThoughts": True}},
                },
            )
        )
        del body["contents"]
        assert body == {
            "generationConfig": {
                "maxOutputTokens": 7,
                "temperature": 0.5,
                "topP": 0.9,
                "stopSequences": ["END"],
                "seed": 2,
                "topK": 5,
                "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True},
                "responseMimeType": "application/json",
                "responseJsonSchema": schema,
            },
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "f", "description": "does", "parametersJsonSchema": {"type": "object"}},
                        {"name": "g", "parametersJsonSchema": {"type": "object", "properties": {}}},
                    ]
                },
                {"googleSearch": {}},
            ],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
            "safetySettings": [],
        }

    def test_json_without_a_schema(self) -> None:
        assert sent(call(response_format="json"))["generationConfig"] == {"responseMimeType": "application/json"}

    @pytest.mark.parametrize(("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")])
    def test_tool_choice(self, choice: str, mode: str) -> None:
        assert sent(call(tool_choice=choice))["toolConfig"] == {"functionCallingConfig": {"mode": mode}}

    @pytest.mark.parametrize(
        ("model", "effort", "expected"),
        [
            ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
            ("gemini-2.5-pro", "high", {"thinkingBudget": 24576}),
            ("gemini-3-pro-preview", "low", {"thinkingLevel": "low"}),
            ("gemini-flash-latest", "minimal", {"thinkingLevel": "minimal"}),
        ],
    )
    def test_effort(self, model: str, effort: str, expected: dict[str, Any]) -> None:
        chat = call(reasoning_effort=effort)
        assert PROVIDER.unsupported(chat, Instance("google", model)) == ()
        assert sent(chat, model)["generationConfig"]["thinkingConfig"] == expected

    @pytest.mark.parametrize(("model", "effort"), [("gemini-2.0-flash", "low"), ("gemini-3-pro-preview", "none")])
    def test_effort_that_the_model_does_not_have(self, model: str, effort: str) -> None:
        chat = call(reasoning_effort=effort)
        assert PROVIDER.unsupported(chat, Instance("google", model)) == ("reasoning_effort",)

    def test_no_thinking_where_there_is_none_anyway(self) -> None:
        assert "generationConfig" not in sent(call(reasoning_effort="none"), "gemini-2.0-flash")

    def test_unknown_effort(self) -> None:
        with pytest.raises(InvalidRequestError, match="medium"):
            sent(call(reasoning_effort="xhigh"))


class TestContents:
    def test_system_and_turns(self) -> None:
        body = sent(call(Message.system("Be brief."), Message.user("A"), Message.user("B"), Message.assistant("C")))
        assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
        assert body["contents"] == [
            {"role": "user", "parts": [{"text": "A"}, {"text": "B"}]},
            {"role": "model", "parts": [{"text": "C"}]},
        ]

    def test_tools(self) -> None:
        """The name comes from the call; only ids that are Google's own are sent."""
        calls = Message.assistant(ToolCall("abc", "f", {"a": 1}), ToolCall("call_1", "g"))
        assert contents(Message.user("A"), calls, Message.tool("abc", "42"), Message.tool("call_1", "bad", is_error=True))[1:] == [
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "f", "args": {"a": 1}, "id": "abc"}},
                    {"functionCall": {"name": "g", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "f", "response": {"output": "42"}, "id": "abc"}},
                    {"functionResponse": {"name": "g", "response": {"error": "bad"}}},
                ],
            },
        ]

    def test_result_without_a_name(self) -> None:
        with pytest.raises(InvalidRequestError, match="'x'"):
            contents(Message.tool("x", "42"))

    def test_picture_in_a_result(self) -> None:
        result = ToolResult("x", (Text("see"), Image(PNG)), name="f")
        assert contents(Message("tool", result))[0]["parts"][0]["functionResponse"] == {
            "name": "f",
            "response": {"output": "see"},
            "id": "x",
            "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgowMDAw"}}],
        }

    def test_calls_of_another_model_get_a_stand_in_for_their_signature(self) -> None:
        calls = Message.assistant(ToolCall("toolu_1", "f"), ToolCall("toolu_2", "g"))
        first, second = contents(Message.user("A"), calls, model="gemini-3-pro-preview")[1]["parts"]
        assert first["thoughtSignature"] == "skip_thought_signature_validator"
        assert "thoughtSignature" not in second
        assert "thoughtSignature" not in contents(Message.user("A"), calls)[1]["parts"][0]

    def test_media(self) -> None:
        (turn,) = contents(
            Message.user(
                Image(PNG),
                Image(url="https://x.test/a.jpg?w=1"),
                Audio(b"1", media_type="audio/wav"),
                File(file_id="https://generativelanguage.googleapis.com/v1beta/files/f1", media_type="application/pdf"),
                File(url="https://www.youtube.com/watch?v=1", extra={"google": {"videoMetadata": {"fps": 1}}}),
            )
        )
        assert turn["parts"] == [
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgowMDAw"}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.test/a.jpg?w=1"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "MQ=="}},
            {
                "fileData": {
                    "mimeType": "application/pdf",
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f1",
                }
            },
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}, "videoMetadata": {"fps": 1}},
        ]

    def test_what_belongs_to_another_vendor_stays_here(self) -> None:
        said = Message.assistant(
            Reasoning("hm", "sig", provider="anthropic"),
            Reasoning("no signature", provider="google"),
            VendorPart("anthropic", {"type": "x"}),
            Text("", {"anthropic": {"citations": []}}),
            Text("Yes.", {"anthropic": {"citations": []}}),
        )
        assert contents(Message.user("A"), said)[1]["parts"] == [{"text": "Yes."}]

    def test_empty_text_of_a_user_is_said(self) -> None:
        """It is the whole question; beside other parts, and from the model, empty text is left out."""
        assert contents(Message.user("")) == [{"role": "user", "parts": [{"text": ""}]}]
        assert contents(Message.user("A"), Message.user("")) == [{"role": "user", "parts": [{"text": "A"}]}]
        assert contents(Message.user("A"), Message.assistant("")) == [{"role": "user", "parts": [{"text": "A"}]}]


# ---------------------------------------------------------------------------------------------------- answers

EXCHANGE: list[dict[str, Any]] = [
    {"text": "Let me see.", "thought": True, "thoughtSignature": "c2ln"},
    {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
    {"text": "Looking.", "thoughtSignature": "dGV4dA=="},
    {"functionCall": {"name": "f", "args": {"a": 1}, "id": "abc"}, "thoughtSignature": "Y2FsbA=="},
    {"functionCall": {"name": "g", "args": {}, "id": "def"}},
]
COUNTS = {
    "promptTokenCount": 10,
    "toolUsePromptTokenCount": 3,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
    "totalTokenCount": 25,
}


class TestAnswers:
    def test_text(self) -> None:
        completion = decode(answer({"text": "Hel"}, {"text": "lo"}, usageMetadata=COUNTS))
        assert completion.text == "Hello"
        assert (completion.model, completion.id, completion.raw_finish_reason) == ("gemini-2.5-flash", "r1", "STOP")
        assert completion.finish_reason == "stop"
        assert completion.usage == Usage(13, 12, 25, 4, 0, 7)

    def test_goes_back_as_it_came(self) -> None:
        completion = decode(answer(*EXCHANGE))
        assert completion.finish_reason == "tool_calls"
        assert completion.reasoning == "Let me see."
        assert [(tool.id, tool.name) for tool in completion.tool_calls] == [("abc", "f"), ("def", "g")]
        assert contents(Message.user("A"), completion.message)[1] == {"role": "model", "parts": EXCHANGE}

    def test_calls_without_ids(self) -> None:
        """Their ids are made of the answer's, so that they differ over a conversation; they are not sent."""
        parts = [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "args": {"a": 1}}}]
        completion = decode(answer(*parts))
        assert [tool.id for tool in completion.tool_calls] == ["call_r1_0", "call_r1_1"]
        again = contents(Message.user("A"), completion.message, Message.tool("call_r1_1", "x"))
        assert again[1]["parts"][1] == parts[1]
        assert again[2]["parts"] == [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ("STOP", "stop"),
            ("MAX_TOKENS", "length"),
            ("SAFETY", "content_filter"),
            ("RECITATION", "content_filter"),
            ("PROHIBITED_CONTENT", "content_filter"),
            ("MALFORMED_FUNCTION_CALL", "error"),
            ("OTHER", "unknown"),
            ("SOMETHING_NEW", "unknown"),
            (None, "unknown"),
        ],
    )
    def test_finish_reasons(self, raw: str | None, expected: str) -> None:
        completion = decode(answer({"text": "x"}, finish=raw))
        assert (completion.finish_reason, completion.raw_finish_reason) == (expected, raw)

    def test_thinking_used_up_the_tokens(self) -> None:
        completion = decode({"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]})
        assert (completion.text, completion.finish_reason, completion.usage) == ("", "length", None)

    def test_blocked_prompt(self) -> None:
        completion = decode({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"trafficType": "ON_DEMAND"}})
        assert (completion.text, completion.finish_reason, completion.raw_finish_reason) == ("", "content_filter", "SAFETY")
        assert completion.usage is None

    def test_pictures(self) -> None:
        completion = decode(
            answer({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgowMDAw"}, "thoughtSignature": "c2ln"})
        )
        (part,) = completion.message.content
        assert part == Image(PNG, media_type="image/png", extra={"google": {"thoughtSignature": "c2ln"}})

    def test_several_candidates(self) -> None:
        document = answer({"text": "one"})
        document["candidates"].append({"content": {"parts": [{"text": "two"}]}, "finishReason": "STOP", "index": 1})
        completion = decode(document)
        assert (completion.text, [other.text for other in completion.alternatives]) == ("one", ["two"])

    @pytest.mark.parametrize("document", [{}, {"candidates": []}, {"candidates": None}, [], "x", None])
    def test_what_is_no_answer_is_an_error(self, document: Any) -> None:
        with pytest.raises(InvalidResponseError):
            PROVIDER.decode(call(), reply(document))

    @pytest.mark.parametrize("counts", [None, 3, {}, {"promptTokenCount": -1}, {"promptTokenCount": "3"}])
    def test_rubbish_for_usage_is_none(self, counts: Any) -> None:
        assert decode(answer({"text": "x"}, usageMetadata=counts)).usage is None


# ---------------------------------------------------------------------------------------------------- streams

PIECES = [
    answer({"text": "Let me sée.", "thought": True}, finish=None, usageMetadata={"promptTokenCount": 10, "totalTokenCount": 10}),
    answer({"executableCode": {"language": "PYTHON", "code": 'print("{[\\"")'}}, finish=None),
    answer({"text": "Look"}, finish=None),
    answer({"text": "ing 🌍 {"}, finish=None),
    answer({"functionCall": {"name": "f", "args": {"a": 'é"}'}}, "thoughtSignature": "Y2FsbA=="}, finish=None),
    answer({"functionCall": {"name": "g", "args": {}}}, finish=None),
    answer({"text": "", "thoughtSignature": "c2ln"}, usageMetadata=COUNTS),
]
SSE = b"".join([b"data: " + json.dumps(piece).encode() + b"\r\n\r\n" for piece in PIECES])
ARRAY = b"[" + b",\r\n".join([json.dumps(piece, indent=2, ensure_ascii=False).encode() for piece in PIECES]) + b"]"


def run(body: bytes, size: int = 1 << 20) -> tuple[list[Event], bool]:
    decoder = PROVIDER.decoder(call(stream=True), {})
    events: list[Event] = []
    for start in range(0, len(body), size):
        events += decoder.feed(body[start : start + size])
    return events + decoder.finish(), decoder.complete


class TestStreams:
    @pytest.mark.parametrize("body", [SSE, ARRAY])
    def test_everything(self, body: bytes) -> None:
        events, complete = run(body)
        completion = fold(events, "google")
        assert complete
        assert completion.message.content == (
            Reasoning("Let me sée.", provider="google"),
            VendorPart("google", {"executableCode": {"language": "PYTHON", "code": 'print("{[\\"")'}}),
            Text("Looking 🌍 {"),
            ToolCall("call_r1_0", "f", {"a": 'é"}'}, '{"a":"é\\"}"}', extra={"google": {"thoughtSignature": "Y2FsbA=="}}),
            ToolCall("call_r1_1", "g", {}, "{}"),
            Text("", {"google": {"thoughtSignature": "c2ln"}}),
        )
        assert completion.usage == Usage(13, 12, 25, 4, 0, 7)
        assert (completion.finish_reason, completion.raw_finish_reason) == ("tool_calls", "STOP")
        assert (completion.id, completion.model) == ("r1", "gemini-2.5-flash")

    def test_goes_back_as_it_came(self) -> None:
        said = fold(run(SSE)[0], "google").message
        assert contents(Message.user("A"), said)[1]["parts"][1:] == [
            {"text": "Looking 🌍 {"},
            {"functionCall": {"name": "f", "args": {"a": 'é"}'}}, "thoughtSignature": "Y2FsbA=="},
            {"functionCall": {"name": "g", "args": {}}},
            {"text": "", "thoughtSignature": "c2ln"},
        ]

    @pytest.mark.parametrize("body", [SSE, ARRAY])
    def test_cut_at_every_byte(self, body: bytes) -> None:
        whole = run(body)
        for at in range(len(body)):
            decoder = PROVIDER.decoder(call(stream=True), {})
            events = decoder.feed(body[:at]) + decoder.feed(body[at:])
            assert (events + decoder.finish(), decoder.complete) == whole
        assert run(body, 1) == whole

    @pytest.mark.parametrize("body", [SSE, ARRAY])
    def test_is_complete_only_after_its_end(self, body: bytes) -> None:
        for at in range(0, body.rindex(b"finishReason"), 7):
            decoder = PROVIDER.decoder(call(stream=True), {})
            decoder.feed(body[:at])
            assert not decoder.complete

    def test_cut_array_is_not_complete(self) -> None:
        decoder = PROVIDER.decoder(call(stream=True), {})
        decoder.feed(ARRAY[: ARRAY.rindex(b"finishReason") + 20])
        assert decoder.finish() == []
        assert not decoder.complete

    def test_blocked_prompt(self) -> None:
        events, complete = run(b'data: {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}\n\n')
        completion = fold(events)
        assert complete
        assert (completion.text, completion.finish_reason) == ("", "content_filter")
        assert completion.raw_finish_reason == "PROHIBITED_CONTENT"

    def test_several_candidates(self) -> None:
        piece = answer({"text": "one"})
        piece["candidates"].append({"content": {"parts": [{"text": "two"}]}, "finishReason": "STOP", "index": 1})
        completion = fold(run(b"data: " + json.dumps(piece).encode() + b"\n\n")[0])
        assert (completion.text, completion.alternatives) == ("one", (Message.assistant("two"),))

    def test_citations_are_kept_raw(self) -> None:
        piece = answer({"text": "x"})
        piece["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["q"]}
        assert RawEvent(piece) in run(b"data: " + json.dumps(piece).encode() + b"\n\n")[0]

    @pytest.mark.parametrize("size", [1, 50, 10_000])
    @pytest.mark.parametrize("form", ["sse", "array"])
    def test_overload_in_the_middle(self, form: str, size: int) -> None:
        """What came before the error is given first, wherever the bytes are cut."""
        pieces = [
            json.dumps(PIECES[2]).encode(),
            b'{"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}',
        ]
        body = b"[" + b",".join(pieces) + b"]" if form == "array" else b"".join([b"data: " + p + b"\n\n" for p in pieces])
        decoder = PROVIDER.decoder(call(stream=True), {})
        events: list[Event] = []

        def feed() -> None:
            for start in range(0, len(body), size):
                events.extend(decoder.feed(body[start : start + size]))
            decoder.finish()

        with pytest.raises(OverloadedError, match="Overloaded"):
            feed()
        assert fold(events).text == "Look"
        assert not decoder.complete


# ---------------------------------------------------------------------------------------------------- errors

KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "word", "said", "details", "expected"),
        [
            (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [KEY_INVALID], AuthenticationError),
            (400, "INVALID_ARGUMENT", "Bad request body", [KEY_INVALID], AuthenticationError),
            (400, "INVALID_ARGUMENT", "Unknown name", [], InvalidRequestError),
            (
                400,
                "INVALID_ARGUMENT",
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                [],
                ContextLengthError,
            ),
            (400, "FAILED_PRECONDITION", "User location is not supported", [], InvalidRequestError),
            (401, "UNAUTHENTICATED", "Expected OAuth2 access token", [], AuthenticationError),
            (403, "PERMISSION_DENIED", "no", [], PermissionDeniedError),
            (404, "NOT_FOUND", "models/x is not found", [], ModelNotFoundError),
            (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", [], RateLimitError),
            (500, "INTERNAL", "An internal error has occurred", [], ServerError),
            (503, "UNAVAILABLE", "The model is overloaded.", [], OverloadedError),
            (504, "DEADLINE_EXCEEDED", "late", [], ServerError),
        ],
    )
    def test_documented_errors(self, status: int, word: str, said: str, details: list[Any], expected: type[LLMError]) -> None:
        """https://ai.google.dev/gemini-api/docs/troubleshooting; also as the one item of a list."""
        body = {"error": {"code": status, "message": said, "status": word, "details": details}}
        for document in (body, [body]):
            error = PROVIDER.error(reply(document, status))
            assert type(error) is expected
            assert (error.status, error.message, error.provider) == (status, said, "google")
            assert error.vendor_code == ("API_KEY_INVALID" if details else word)

    @pytest.mark.parametrize(
        ("violations", "expected"),
        [
            ([{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}], RateLimitError),
            ([{"quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier"}, "?"], RateLimitError),
            ([{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}], QuotaExceededError),
            ([{"quotaMetric": "x.googleapis.com/generate_content_requests_per_day"}], QuotaExceededError),
            ([{"quotaId": "RequestsPerMinute"}, {"quotaId": "InputTokensPerModelPerDay"}], QuotaExceededError),
            ([{"quotaId": None}], RateLimitError),
            ("many", RateLimitError),
        ],
    )
    def test_quota_of_a_day_and_of_a_minute(self, violations: Any, expected: type[LLMError]) -> None:
        """https://ai.google.dev/gemini-api/docs/rate-limits: a day's quota comes back at midnight, a minute's soon."""
        failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}
        said = {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}
        error = PROVIDER.error(reply({"error": {**said, "details": [failure, RETRY]}}, 429))
        assert (type(error), error.retry_after) == (expected, 34.5)

    def test_wait_that_the_body_asks_for(self) -> None:
        body = {
            "error": {
                "code": 429,
                "message": "slow",
                "status": "RESOURCE_EXHAUSTED",
                "details": [KEY_INVALID | {"reason": 3}, RETRY],
            }
        }
        assert PROVIDER.error(reply(body, 429)).retry_after == 34.5
        assert PROVIDER.error(reply(body, 429, **{"retry-after": "7"})).retry_after == 7

    @pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b'{"error": "nope"}', b'{"message": "nope"}'])
    def test_other_bodies(self, body: bytes) -> None:
        assert type(PROVIDER.error(HttpReply(502, {}, body))) is ServerError

    def test_error_inside_a_200(self) -> None:
        with pytest.raises(RateLimitError):
            decode({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}})


class TestEmbeddings:
    def test_request(self) -> None:
        embed = EmbedCall(deadline=DEADLINE, texts=("a", "b"), dimensions=2, extra={"taskType": "CLUSTERING"})
        request = PROVIDER.encode(embed, Instance("google", "gemini-embedding-001"))
        assert request.url.endswith("/v1beta/models/gemini-embedding-001:batchEmbedContents")
        assert json.loads(request.body or b"")["requests"][1] == {
            "model": "models/gemini-embedding-001",
            "content": {"parts": [{"text": "b"}]},
            "outputDimensionality": 2,
            "taskType": "CLUSTERING",
        }

    def test_vertex(self) -> None:
        """https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api"""
        embed = EmbedCall(deadline=DEADLINE, texts=("a",), dimensions=2, extra={"task_type": "CLUSTERING"})
        request = PROVIDER.encode(embed, Instance("google", "e", base_url=VERTEX))
        assert request.url == f"{VERTEX}/models/e:predict"
        assert json.loads(request.body or b"") == {
            "instances": [{"content": "a", "task_type": "CLUSTERING"}],
            "parameters": {"outputDimensionality": 2},
        }
        prediction = {"embeddings": {"values": [0.5, 1], "statistics": {"token_count": 3}}}
        found = PROVIDER.decode(embed, reply({"predictions": [prediction]}))
        assert (found.vectors, found.usage) == (((0.5, 1.0),), Usage(3, 0, 3))

    def test_answer(self) -> None:
        embed = EmbedCall(deadline=DEADLINE, texts=("a", "b"))
        found = PROVIDER.decode(embed, reply({"embeddings": [{"values": [1, 2]}, {"values": [3.5, 4]}]}))
        assert (found.vectors, found.usage) == (((1.0, 2.0), (3.5, 4.0)), None)

    @pytest.mark.parametrize(
        "document", [{}, {"embeddings": [{"values": [1]}]}, {"embeddings": [{"values": ["x"]}, {"values": [1]}]}]
    )
    def test_missing_vectors_are_an_error(self, document: dict[str, Any]) -> None:
        with pytest.raises(InvalidResponseError):
            PROVIDER.decode(EmbedCall(deadline=DEADLINE, texts=("a", "b")), reply(document))


class TestModels:
    def test_request(self) -> None:
        page = ModelsCall(deadline=DEADLINE, page="a&b")
        url = PROVIDER.encode(page, Instance("google", "m")).url
        assert url == "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000&pageToken=a%26b"
        vertex = PROVIDER.encode(ModelsCall(deadline=DEADLINE), Instance("google", "m", base_url=VERTEX)).url
        assert vertex == "https://aiplatform.googleapis.com/v1beta1/publishers/google/models?pageSize=1000"

    def test_pages(self) -> None:
        model = {"name": "models/gemini-x", "displayName": "Gemini X", "inputTokenLimit": 100, "outputTokenLimit": 10}
        page = PROVIDER.decode(ModelsCall(deadline=DEADLINE), reply({"models": [model], "nextPageToken": "t"}))
        (found,) = page.models
        assert (found.id, found.name, found.context_window, found.max_output_tokens) == ("gemini-x", "Gemini X", 100, 10)
        assert page.next_page == "t"
        assert PROVIDER.decode(ModelsCall(deadline=DEADLINE), reply({})).models == ()
