"""Prompts are made to fit: the oldest goes first, instructions stay, tool exchanges stay whole, and the target is kept."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import llmkit
from llmkit import (
    ConfigError,
    ContextLengthError,
    FittedPrompt,
    InvalidRequestError,
    Message,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    optimize_prompt,
)
from llmkit.tokens.count import count_tokens
from llmkit.tokens.limits import check_fits, get_token_limit
from llmkit.tokens.reducers import DEFAULT, Budget, Draft, drop_oldest, longest, middle_out, shorten_texts, turns, units
from llmkit.values.counts import TokenCount
from llmkit.values.models import ModelInfo

CALL = ToolCall("c1", "search", {"q": "fits"})
LONG = [
    Message.system("Be brief."),
    Message.user("the first question " * 40),
    Message("assistant", [Reasoning("thinking " * 50, provider="openai"), Text("the first answer " * 40)]),
    Message.user("the second question " * 30),
    Message.assistant(CALL),
    Message.tool(CALL, "a result " * 900),
    Message.assistant("the second answer " * 20),
    Message.user("the last question " * 20),
]


def texts(fitted: FittedPrompt) -> list[str]:
    return [" ".join(message.text.split()[:3]) or message.content[0].type for message in fitted.messages]


def test_what_fits_is_left_alone():
    fitted = optimize_prompt(LONG, "gpt-4o", 100_000)
    assert (fitted.messages, fitted.removed, fitted.changed) == (tuple(LONG), (), False)
    assert fitted.before == fitted.after == count_tokens(LONG, "gpt-4o")
    plain = optimize_prompt("Hi", "gpt-4o", 1)
    assert (plain.prompt, plain.after, plain.messages) == ("Hi", 1, (Message.user("Hi"),))


def test_the_oldest_goes_first():
    """Step by step: long results first, then turns from the oldest, then the middle of what is left."""
    shorter = optimize_prompt(LONG, "gpt-4o", 1400)
    assert len(shorter.messages) == len(LONG)
    assert shorter.removed == ("the middle of 1 tool result(s) in tool message (tool result)",)
    assert "characters left out" in shorter.messages[5].content[0].content
    thoughts = optimize_prompt(LONG, "claude-sonnet-4-5", 2700)
    assert thoughts.removed == ('the reasoning of assistant message "the first answer the first answer the fi"',)
    two = optimize_prompt(LONG, "gpt-4o", 600)
    assert texts(two) == ["Be brief.", "the second question", "tool_call", "tool_result", "the second answer", "the last question"]
    assert two.removed[-2:] == (
        'user message "the first question the first question th"', 'assistant message "the first answer the first answer the fi"',
    )  # fmt: skip
    one = optimize_prompt(LONG, "gpt-4o", 100)
    assert texts(one) == ["Be brief.", "the last question"]
    least = optimize_prompt(LONG, "gpt-4o", 50)
    assert texts(least) == ["Be brief.", "the last question"]
    assert least.messages[0] == LONG[0]
    assert least.removed[-1].endswith('characters of user message "the last question the last question the "')
    assert [int(fitted.after) for fitted in (shorter, two, one, least)] <= [1400, 600, 100, 50]
    assert 45 <= least.after <= 50


def test_a_long_turn_of_tools():
    """Of one turn with many exchanges the oldest exchanges go, whole; the question and the last exchange stay."""
    calls = [ToolCall(f"c{number}", "f", {"n": number}) for number in range(40)]
    pairs = [message for call in calls for message in (Message.assistant(call), Message.tool(call, "result " * 50))]
    said = [Message.system("Work."), Message.user("Do it all."), *pairs]
    fitted = optimize_prompt(said, "gpt-4o", 600)
    assert texts(fitted)[:2] == ["Work.", "Do it all."]
    assert fitted.messages[-2:] == tuple(said[-2:])
    left = len(fitted.messages[2:]) // 2
    assert [call for message in fitted.messages for call in message.tool_calls] == calls[-left:]
    assert 500 < fitted.after <= 600


def test_the_least_does_not_fit():
    with pytest.raises(ContextLengthError, match=r"the least that can be left is \d+ tokens, \d+ more than the 20 wanted"):
        optimize_prompt(LONG, "gpt-4o", 20)
    with pytest.raises(ContextLengthError):
        optimize_prompt([Message.system("rule " * 100), Message.user("Hi")], "gpt-4o", 50)
    with pytest.raises(ContextLengthError):
        optimize_prompt("word " * 1000, "gpt-4o", 5)


def test_without_instructions_preserved():
    """System texts are shortened too, after all else; text is cut at its end."""
    fitted = optimize_prompt([Message.system("rule " * 300), Message.user("Hi")], "gpt-4o", 60, preserve_instructions=False)
    assert fitted.after <= 60
    assert [message.role for message in fitted.messages] == ["system", "user"]
    assert "characters of system message" in fitted.removed[-1]
    cut = optimize_prompt("begin " + "word " * 1000 + "end", "gpt-4o", 10, preserve_instructions=False)
    assert cut.prompt.startswith("begin word")
    assert cut.after == 10


def test_text_keeps_both_ends():
    fitted = optimize_prompt("Summarise this:\n" + "word " * 5000 + "\nIn one line.", "gpt-4o", 100)
    assert fitted.prompt.startswith("Summarise this:")
    assert fitted.prompt.endswith("In one line.")
    assert fitted.removed == (f"{25_029 - (len(fitted.prompt) - len(mark(fitted.prompt))):,} of 25,029 characters",)
    assert 95 <= fitted.after <= 100


def mark(text: str) -> str:
    return text[text.index("\n[... ") : text.index(" ...]\n") + 6]


def test_tools_count():
    tool = Tool("weather", "Weather in a city. " * 20, {"type": "object", "properties": {"city": {"type": "string"}}})
    fitted = optimize_prompt(LONG, "gpt-4o", 300, tools=[tool], system="Above all.")
    assert fitted.after == count_tokens(fitted.messages, "gpt-4o", tools=[tool]) <= 300
    assert fitted.messages[0] == Message.system("Above all.")


@pytest.mark.parametrize("target", [0, -1, 1.5, "10", None, True])
def test_bad_targets(target):
    with pytest.raises(InvalidRequestError, match="target_token_count"):
        optimize_prompt("Hi", "gpt-4o", target)


def test_own_reducers():
    def summary(draft: Draft, budget: Budget) -> Draft:
        """All turns but the last, as one line."""
        gone = [position for turn in turns(draft.messages)[:-1] for unit in turn for position in unit]
        kept = draft.without(gone[1:], f"{len(gone)} messages, for a summary")
        return kept.replaced(gone[0], Message.user("They spoke before."), "the first")

    fitted = optimize_prompt(LONG, "gpt-4o", 200, reducers=[summary, *DEFAULT])
    assert texts(fitted) == ["Be brief.", "They spoke before.", "the last question"]
    assert fitted.removed[:2] == ("6 messages, for a summary", "the first")
    for broken, said in (
        (lambda draft, budget: Draft(draft.messages[1:]), "changed a system message"),
        (lambda draft, budget: draft.without([5], ""), "left half of a tool exchange"),
        (lambda draft, budget: None, "returned NoneType, not a Draft"),
    ):
        with pytest.raises(ConfigError, match=said):
            optimize_prompt(LONG, "gpt-4o", 200, reducers=[broken])
    with pytest.raises(ContextLengthError):
        optimize_prompt(LONG, "gpt-4o", 200, reducers=[])


def test_units():
    """A call and its results are one, however the results come; system messages are none."""
    two = [ToolCall("a", "f"), ToolCall("b", "f")]
    said = [Message.system("S"), Message.user("u"), Message.assistant(*two), Message.tool("a", "1"), Message.tool("b", "2"),
            Message.assistant("fine"), Message("user", [ToolResult("x", "lost")]), Message.user("v")]  # fmt: skip
    assert units(said) == [(1,), (2, 3, 4), (5,), (6,), (7,)]
    assert [len(turn) for turn in turns(said)] == [3, 1, 1]
    results_by_user = [Message.assistant(two[0]), Message("user", [ToolResult("a", "1")])]
    assert units(results_by_user) == [(0, 1)]


WORDS = st.text("ab é中😀\n", max_size=200)


@st.composite
def conversations(draw) -> list[Message]:
    """Turns of any shape, some with tools."""
    found = [Message.system(draw(WORDS))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 5))):
        found.append(Message.user(draw(WORDS) * draw(st.integers(1, 8))))
        for step in range(draw(st.integers(0, 3))):
            calls = [ToolCall(f"{number}.{step}.{n}", "f", {"x": draw(WORDS)}) for n in range(draw(st.integers(1, 3)))]
            found.append(Message.assistant(*calls))
            if draw(st.booleans()):
                found += [Message.tool(call, draw(WORDS) * 40) for call in calls]
            else:
                found.append(Message("user", [ToolResult(call.id, draw(WORDS)) for call in calls]))
        if draw(st.booleans()):
            found.append(Message.assistant(draw(WORDS)))
    return found


@settings(max_examples=150, deadline=None)
@given(conversations(), st.integers(1, 600), st.sampled_from(["gpt-4o", "gpt-5", "claude-sonnet-4-5"]))
def test_promises(messages: list[Message], target: int, model: str):
    """Within the target exactly, system text word for word, exchanges whole, the order kept; or a typed error."""
    try:
        fitted = optimize_prompt(messages, model, target)
    except ContextLengthError:
        assume(False)
    assert fitted.after == count_tokens(fitted.messages, model) <= target
    assert [m for m in fitted.messages if m.role == "system"] == [m for m in messages if m.role == "system"]
    calls = [call.id for message in fitted.messages for call in message.tool_calls]
    results = [part.call_id for message in fitted.messages for part in message.content if part.type == "tool_result"]
    assert sorted(calls) == sorted(results)
    assert bool(fitted.removed) == (fitted.messages != tuple(messages))
    assert fitted.before == count_tokens(messages, model)
    order = [message.role for message in messages]
    for message in fitted.messages:
        order = order[order.index(message.role) + 1 :]


@given(st.integers(0, 300), st.integers(0, 300), st.integers(-50, 400), st.integers(0, 500))
def test_longest(least: int, more: int, edge: int, guess: int):
    """The edge is found from any guess, in few steps."""
    most, tries = least + more, []

    def fits(number: int) -> bool:
        assert least <= number <= most
        tries.append(number)
        return number <= edge

    assert longest(fits, least, most, guess) == (None if edge < least else min(edge, most))
    assert len(tries) < 30


def test_a_long_text_is_cut_quickly():
    began = time.process_time()
    fitted = optimize_prompt("The quick brown fox jumps. " * 100_000, "gpt-4o", 1000)
    assert 990 < fitted.after <= 1000
    assert time.process_time() - began < 3


def test_middle_out():
    assert middle_out("0123456789" * 10, 10) == "012345\n[... 90 characters left out ...]\n6789"
    assert middle_out("short", 10) == "short"
    nothing = Budget(0, lambda messages: 10, lambda message: 10)
    draft = Draft((Message.user("Hi"),))
    assert shorten_texts(draft, nothing) == drop_oldest(draft, nothing) == draft


# ------------------------------------------------------------------------------------------------------ limits


def test_token_limit():
    known = {"gpt-4o": ModelInfo("gpt-4o", "openai", context_window=128_000)}
    assert get_token_limit("gpt-4o", known.get) == 128_000
    assert get_token_limit("what", known.get) is None
    assert llmkit.get_token_limit("openai/gpt-4o") == 128_000
    assert llmkit.get_token_limit("openai/what") is None


@pytest.mark.parametrize(("tokens", "given", "said"), [
    (TokenCount(128_001, True, ""), {}, "the prompt has 128,001 tokens, 2 over its context window of 128,000"),
    (TokenCount(127_000, True, ""), {"max_tokens": 2000}, "127,000 tokens and max_tokens is 2,000, 1,000 over its context window"),
    (TokenCount(140_000, False, "estimate: x"), {"margin": 0.05}, "by an estimate: x, 5,001 over"),
    (TokenCount(10, True, ""), {"max_tokens": 20_000, "output_limit": 16_384}, "3,616 over the 16,384 that it can write"),
])  # fmt: skip
def test_overflows_are_named(tokens: TokenCount, given: dict, said: str):
    with pytest.raises(ContextLengthError, match=said):
        check_fits(tokens, "gpt-4o", context_window=128_000, **given)


def test_what_fits():
    check_fits(TokenCount(127_999, True, ""), "gpt-4o", context_window=128_000)
    check_fits(TokenCount(140_000, False, "estimate"), "gpt-4o", context_window=128_000, margin=0.1)
    check_fits(TokenCount(10**9, True, ""), "gpt-4o", context_window=None, max_tokens=5, output_limit=5)


def test_a_long_conversation_takes_no_time_for_each_pair_of_its_messages():
    """Looking for tool results measured the whole conversation once for each message: 3 s of CPU for 4,000 of them."""
    messages = [Message.user("hello " * 50), Message.assistant("yes")] * 2000
    optimize_prompt(messages[:200], "gpt-4o", 1000)
    started = time.process_time()
    assert optimize_prompt(messages, "gpt-4o", 1000).after <= 1000
    assert time.process_time() - started < 1.5
