"""What a client answers about models: a part of both its faces. The rest of the catalogue is read only when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from llmkit.values.calls import MODEL_WORDS

if TYPE_CHECKING:
    from llmkit.catalog.select import Selection
    from llmkit.values.model_requests import ModelRequest, Requested
    from llmkit.values.models import ModelInfo


def for_embeddings(model: str | ModelRequest) -> str | ModelRequest:
    """A model's name as it is; what is wanted of a model, of one that makes embeddings."""
    if isinstance(model, str) and model not in MODEL_WORDS:
        return model
    import attrs

    from llmkit.values.model_requests import as_request

    wanted = as_request(model)
    return attrs.evolve(wanted, capabilities=wanted.capabilities | {"embeddings"})


class AboutModels:
    """The models of a client's instances, as far as anything is known of them."""

    _core: Any

    def get_model_info(self, model: str) -> ModelInfo | None:
        """What is known of a model, with your own facts over the catalogue's.

        :param model: ``provider/model``, a bare name that belongs to one provider alone, or an instance's name.
        :returns: None where nothing is known.
        """
        from llmkit.catalog.select import get_model_info

        for name, info in self._core.models_served():
            if name == model:
                return info  # type: ignore[no-any-return]
        return get_model_info(model, catalog=self._core.models.get())

    def list_available_models(
        self,
        required_capabilities: Iterable[str] = (),
        min_token_limit: int | None = None,
        provider: str | None = None,
        category: str | None = None,
        order: str | None = None,
    ) -> list[str]:
        """The names of the enabled instances whose model is known to have what is asked for.

        :param required_capabilities: words of :data:`llmkit.values.model_requests.CAPABILITIES`.
        :param min_token_limit: the fewest tokens it must be able to read.
        :param category: ``fast``, ``balanced`` or ``quality``.
        :param order: ``cheapest``, ``fastest`` or ``quality``; default the order in which they were added.
        :raises InvalidRequestError: if a word is not one of those there are.
        """
        from llmkit.values.model_requests import ModelRequest, listed

        wanted = ModelRequest(
            capabilities=required_capabilities,
            min_context=min_token_limit,
            provider=provider,
            category=category,
            any_kind=True,
        )
        return listed(wanted, self._core.models_served(), order)

    def find_alternative_model(self, model: str, reason: str = "unavailable") -> ModelInfo | None:
        """A model of another enabled instance to use in the place of ``model``; see
        :func:`llmkit.catalog.select.find_alternative_model`.

        :raises InvalidRequestError: for a reason that there is not.
        """
        from llmkit.catalog.select import find_alternative_model

        among = [info for _, info in self._core.models_served() if info is not None]
        return find_alternative_model(model, reason, among=among, catalog=self._core.models.get())

    def select_models(
        self, requested: Requested, task_context: Mapping[str, Any] | None = None, strategy: str | None = None
    ) -> Selection:
        """Which of the enabled instances a call would ask, and which it would turn to, as data; nothing is sent. See
        :func:`llmkit.catalog.select.select_models`.

        :raises InvalidRequestError: if no instance's model is known to have what is asked for.
        :raises ConfigError: if it names a model of which nobody knows whose it is.
        """
        from llmkit.catalog.select import select_models

        if isinstance(requested, str):
            self._core.check_model(requested)
        return select_models(
            requested, task_context, strategy, candidates=self._core.models_served(), catalog=self._core.models.get()
        )

    def _with_facts(self, models: list[ModelInfo]) -> list[ModelInfo]:
        """A vendor's list, with the catalogue's facts where the vendor says nothing."""
        return [self._core.models.get().with_facts(model) for model in models]
