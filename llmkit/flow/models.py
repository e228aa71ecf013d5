"""Every page of what vendors offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from llmkit.flow.ask import ask
from llmkit.flow.kit import Kit
from llmkit.values.models import ModelInfo
from llmkit.values.other_calls import ModelsCall

MOST_PAGES = 1000
"""Pages after which a list is taken to be endless."""


async def list_models(
    kit: Kit, instances: Iterable[str], call: Callable[[str, str | None], ModelsCall]
) -> list[ModelInfo]:
    """The models that the vendors of ``instances`` offer.

    :param call: makes the call for an instance and a page.
    """
    found: list[ModelInfo] = []
    for instance in instances:
        page = None
        for _ in range(MOST_PAGES):
            answer = await ask(kit, call(instance, page))
            found += answer.models
            page = answer.next_page
            if page is None:
                break
    return found
