"""Which step follows a failed call, and what it makes of the call. Arithmetic over values: nothing here waits, sends or stores."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union

import attrs

from llmkit.errors import (
    AllInstancesFailed,
    CallCancelled,
    CallQueued,
    ClientClosedError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    LLMError,
    Recovery,
    RedirectError,
    StorageError,
    StreamInterrupted,
)
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.fallbacks import Degrade, FallbackPlan, Queue, Reject, Secondary, Step, models, parse_steps
from llmkit.values.messages import Message

Cause = Literal["failure", "context", "refusal"]
Outcome = Union[ChatCall, Completion, Queue, LLMError]
"""What a step comes to: another call to make, an answer, a place in the queue, or the error to raise."""

_NO_CAUSE = (ConfigError, InvalidRequestError, ClientClosedError, StreamInterrupted, CallQueued, CallCancelled, StorageError)
PLAN_NAMES = ("fallback", "context_fallbacks", "refusal_fallbacks")
"""The parameters of a client or a call that make up its plan."""


def cause(error: LLMError) -> Cause | None:
    """Why a call may fall back after ``error``; None where it may not: a wrong request, a wrong setting, a closed client.

    What one vendor does not offer (an unknown model, an unsupported parameter) counts as a failure: another may offer it.
    """
    if isinstance(error, AllInstancesFailed) and error.failures:
        found = {cause(failure) for failure in error.failures}
        kinds: tuple[Cause, ...] = ("failure", "context", "refusal")
        return next((kind for kind in kinds if kind in found), None)
    if isinstance(error, ContextLengthError):
        return "context"
    if isinstance(error, ContentFilterError):
        return "refusal"
    if isinstance(error, _NO_CAUSE) and error.recovery is not Recovery.OTHER_INSTANCE:
        return None
    return "failure"


def passes(error: LLMError) -> bool:
    """Whether the same call may succeed later, so that it is worth keeping."""
    if isinstance(error, AllInstancesFailed) and error.failures:
        return any([passes(failure) for failure in error.failures])
    return cause(error) == "failure" and error.recovery is not Recovery.OTHER_INSTANCE and not isinstance(error, RedirectError)


def refused(answer: Any) -> bool:
    """Whether ``answer`` is a whole answer that is a refusal."""
    return isinstance(answer, Completion) and (
        answer.finish_reason is FinishReason.CONTENT_FILTER or (answer.refusal is not None and not answer.text)
    )


def apply(step: Step, call: ChatCall, error: LLMError) -> Outcome | None:
    """What ``step`` makes of ``call``, which ``error`` has ended; None where the step does not help. Of several secondary models
    this is the first: :class:`Descent` makes a step of each."""
    if isinstance(step, Secondary):
        return _instead(call, step.models[0], "secondary")
    if isinstance(step, Degrade):
        return _less(call, step)
    if isinstance(step, Queue):
        return step if passes(error) else None
    return _rejected(step, error)


def _instead(call: ChatCall, model: str, word: str) -> ChatCall | None:
    if model == call.model or model in call.fallbacks:
        return None
    # Among the fallbacks too: there, unlike in ``model``, an instance need not list the call's task.
    return attrs.evolve(call, instance=None, model=model, fallbacks=(model,), plan=_told(call, f"{word}: model {model}"))


def _less(call: ChatCall, step: Degrade) -> ChatCall | None:
    said: list[str] = []
    changes: dict[str, Any] = {}
    if step.model is not None and (step.model != call.model or call.instance is not None):
        said.append(f"model {step.model}")
        changes.update(model=step.model, instance=None, fallbacks=(step.model,))
    options = call.options
    gone = [name for name in step.drop if getattr(options, name) is not None]
    if "tools" in gone and options.tool_choice is not None and "tool_choice" not in gone:
        gone.append("tool_choice")  # a choice among no tools is refused by vendors
    limits: dict[str, Any] = dict.fromkeys(gone)
    if step.max_tokens is not None and (options.max_tokens is None or options.max_tokens > step.max_tokens):
        said.append(f"max_tokens {step.max_tokens}")
        limits["max_tokens"] = step.max_tokens
    if gone:
        said.append(f"{', '.join(gone)} dropped")
    if not said:
        return None
    changes["plan"] = _told(call, f"degrade: {', '.join(said)}", tuple(gone))
    return attrs.evolve(call, options=attrs.evolve(options, **limits), **changes)


def _rejected(step: Reject, error: LLMError) -> Completion | LLMError:
    if step.text is not None:
        return Completion(Message.assistant(step.text), fallback="reject: the text given", attempts=error.attempts)
    if step.error is None:
        return error
    raised: LLMError = copy.copy(step.error)
    raised.attempts = error.attempts
    raised.__cause__ = error
    return raised


def said(outcome: Outcome) -> str:
    """What a step that was taken is called, in the words of ``completion.fallback`` where it leads to an answer."""
    if isinstance(outcome, CallQueued):
        return f"queue: ticket {outcome.ticket.id if outcome.ticket else ''}"
    if isinstance(outcome, ChatCall):
        return (outcome.plan and outcome.plan.said) or ""
    return (outcome.fallback or "") if isinstance(outcome, Completion) else "reject: the error given"


def _told(call: ChatCall, said: str, dropped: tuple[str, ...] = ()) -> FallbackPlan:
    return attrs.evolve(call.plan or FallbackPlan(), said=said, dropped=dropped)


def _singles(step: Step) -> list[Step]:
    """One step for each secondary model, so that each has the call's retries for itself."""
    return [Secondary((model,)) for model in step.models] if isinstance(step, Secondary) else [step]


class Descent:
    """One call's way down its plan. Each step is taken once, and always from the call as it was first made, so the way ends."""

    def __init__(self, call: ChatCall) -> None:
        plan = call.plan or FallbackPlan()
        self._call = call
        self._via: Cause = "failure"
        self._steps: Mapping[Cause, list[Any]] = {
            "failure": [single for step in plan.steps for single in _singles(step)],
            "context": list(plan.context),
            "refusal": list(plan.refusal),
        }

    def next(self, error: LLMError, late: bool = False, answered: bool = False) -> Outcome:
        """What to do after ``error``; ``error`` itself where nothing is left to do.

        A larger model that fails is followed by the next larger one, before the steps for failures.

        :param late: whether the call's time is over, so that nothing more can be asked.
        :param answered: whether there is an answer, if only a refusal: then none is made up, and none is asked for later.
        """
        why = cause(error)
        if why is None:
            return error
        if why == "failure" and self._steps[self._via]:
            why = self._via
        self._via, steps = why, self._steps[why]
        while steps:
            step = steps.pop(0)
            if (late and isinstance(step, (str, Secondary, Degrade))) or (answered and isinstance(step, (Queue, Reject))):
                continue
            if isinstance(step, str):
                outcome: Outcome | None = _instead(attrs.evolve(self._call, fallbacks=()), step, f"{why}_fallbacks")
            else:
                outcome = apply(step, self._call, error)
            if outcome is not None:
                return outcome
        return error

    def elsewhere(self) -> bool:
        """Whether a refused prompt can be put to another model."""
        return bool(self._steps["refusal"])


def make_plan(
    default: FallbackPlan | None, given: Mapping[str, Any], ensure: Callable[[str], str]
) -> FallbackPlan | None:
    """The plan of a client or a call: ``default``, with what ``given`` says by the names in :data:`PLAN_NAMES` in its place.

    :param ensure: from a model to the name by which instances know it.
    :returns: None where there is nothing to do.
    :raises ConfigError: if a value is wrong.
    """
    plan = default or FallbackPlan()
    if (fallback := given.get("fallback")) is not None:
        plan = attrs.evolve(plan, steps=tuple([_ensured(step, ensure) for step in parse_steps("fallback", fallback)]))
    for name, field in (("context_fallbacks", "context"), ("refusal_fallbacks", "refusal")):
        if given.get(name) is not None:
            changes: dict[str, Any] = {field: tuple([ensure(model) for model in models(name, given[name])])}
            plan = attrs.evolve(plan, **changes)
    return plan if plan.steps or plan.context or plan.refusal else None


def _ensured(step: Step, ensure: Callable[[str], str]) -> Step:
    if isinstance(step, Secondary):
        return Secondary([ensure(model) for model in step.models])
    if isinstance(step, Degrade) and step.model is not None:
        return attrs.evolve(step, model=ensure(step.model))
    return step
