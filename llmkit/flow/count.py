"""How many tokens a prompt is: counted here, or by the vendor."""

from __future__ import annotations

from llmkit.errors import LLMError, UnsupportedParameterError
from llmkit.flow.ask import ask
from llmkit.flow.kit import Kit
from llmkit.tokens.count import Tokenizers
from llmkit.values.counts import TokenCount
from llmkit.values.messages import Text
from llmkit.values.other_calls import CountCall

SHORT = 20_000
"""Characters that are counted where they are: 2 ms of prose, 12 ms of the worst text known. More go through the runtime, so that
no event loop waits for them."""


async def count_tokens(kit: Kit, call: CountCall, model: str, tokenizers: Tokenizers, exact: bool) -> TokenCount:
    """The tokens of a call's messages.

    :param model: whose rules count.
    :param exact: ask the vendor, unless the count made here is exact already.
    :raises UnsupportedParameterError: if ``exact`` and the vendor does not count, and llmkit can only estimate.
    :raises LLMError: if asking the vendor fails.
    """
    here = None if exact and not tokenizers.may_be_exact(model) else await _here(kit, call, model, tokenizers)
    if here is not None and (here.exact or not exact):
        return here
    try:
        return await ask(kit, call)
    except UnsupportedParameterError as problem:
        error: LLMError = problem
    if here is None:
        here = await _here(kit, call, model, tokenizers)
    error.message = f"{error.message}; the estimate is {here}"
    raise error


async def _here(kit: Kit, call: CountCall, model: str, tokenizers: Tokenizers) -> TokenCount:
    if tokenizers.made.get(model) is not None and _size(call) <= SHORT:
        return _counted(call, model, tokenizers)
    return await kit.runtime.run(_counted, call, model, tokenizers)


def _counted(call: CountCall, model: str, tokenizers: Tokenizers) -> TokenCount:
    return tokenizers.counter(model).prompt(call.messages, call.options)


def _size(call: CountCall) -> int:
    """Characters of text; what else there is counts as long."""
    size = 0
    for message in call.messages:
        for part in message.content:
            size += len(part.text) if type(part) is Text else SHORT + 1
    return size if not call.options.tools and call.options.response_format is None else SHORT + 1
