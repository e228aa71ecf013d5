"""Whether a long prompt fits into a model's context window, before it is sent."""

from __future__ import annotations

from llmkit.errors import ContextLengthError, Recovery
from llmkit.flow.kit import Kit
from llmkit.policy.routes import Route
from llmkit.tokens.estimate import estimate_tokens
from llmkit.tokens.limits import check_fits
from llmkit.values.calls import ChatCall
from llmkit.values.counts import TokenCount
from llmkit.values.messages import Text

NEAR = 0.6
"""The part of a window below which an estimate is believed, and nothing is counted."""
MARGIN = 0.3
"""What an estimate may be wrong by; only what is too long beyond that is refused on its word."""


async def fits(kit: Kit, call: ChatCall, route: Route) -> None:
    """Check a call's text against what the catalogue knows of the instance's model. A model that is not known takes anything.

    :raises ContextLengthError: naming the overflow. Another instance may have a larger model.
    """
    instance = route.instance
    info = await kit.runtime.run(kit.facts, instance.provider, instance.model)  # the first look reads a file
    if info is None or info.context_window is None:
        return
    texts = [part.text for message in call.messages for part in message.content if type(part) is Text]
    most = info.context_window - (call.options.max_tokens or 1)
    if sum(map(len, texts)) * 4 <= most:  # no text has more tokens than bytes
        return
    if sum(await kit.runtime.run(_estimates, texts)) <= NEAR * most:
        return
    count = await kit.runtime.run(_counted, kit, call, f"{instance.provider}/{instance.model}")
    try:
        check_fits(
            count,
            instance.model,
            context_window=info.context_window,
            max_tokens=call.options.max_tokens,
            margin=MARGIN,
        )
    except ContextLengthError as problem:
        error = problem
    else:
        return
    error.recovery = Recovery.OTHER_INSTANCE
    raise error


def _counted(kit: Kit, call: ChatCall, model: str) -> TokenCount:
    return kit.tokenizers().counter(model).prompt(call.messages, call.options)


def _estimates(texts: list[str]) -> list[int]:
    return [estimate_tokens(text) for text in texts]
