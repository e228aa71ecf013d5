"""How many tokens a model takes, and whether a prompt is within that.

What is known about models stands in the catalogue, above this room; so a look-up is handed in.
"""

from __future__ import annotations

from collections.abc import Callable

from llmkit.errors import ContextLengthError
from llmkit.values.counts import TokenCount
from llmkit.values.models import ModelInfo

LookUp = Callable[[str], "ModelInfo | None"]
"""What is known about a model, or None."""


def get_token_limit(model: str, look_up: LookUp) -> int | None:
    """The most tokens that prompt and answer of a model may have together, or None where nobody knows."""
    info = look_up(model)
    return None if info is None else info.context_window


def check_fits(
    prompt: TokenCount,
    model: str,
    *,
    context_window: int | None,
    max_tokens: int | None = None,
    output_limit: int | None = None,
    margin: float = 0.0,
) -> None:
    """Check before sending that a prompt leaves room for its answer.

    :param prompt: the prompt's tokens.
    :param model: for the message.
    :param context_window: the most tokens of prompt and answer together; None checks nothing of it.
    :param max_tokens: the most tokens that the answer was given; None counts as 1.
    :param output_limit: the most tokens that the model can write; None checks nothing of it.
    :param margin: the part of an estimate that may be wrong (0.1 for a tenth); an exact count has none.
    :raises ContextLengthError: naming the overflow: how many tokens, over which limit.
    """
    if output_limit is not None and max_tokens is not None and max_tokens > output_limit:
        raise ContextLengthError(
            f"{model}: max_tokens is {max_tokens:,}, {max_tokens - output_limit:,} over the {output_limit:,} that it can write"
        )
    if context_window is None:
        return
    sure = int(prompt) if prompt.exact else int(prompt * (1 - margin))
    wanted = sure + (max_tokens or 1)
    if wanted <= context_window:
        return
    counted = f"the prompt has {prompt:,} tokens" + ("" if prompt.exact else f" by an {prompt.by}")
    answer = f" and max_tokens is {max_tokens:,}" if max_tokens else ""
    over = f"{wanted - context_window:,} over its context window of {context_window:,}"
    raise ContextLengthError(f"{model}: {counted}{answer}, {over}")
