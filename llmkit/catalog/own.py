"""A client's catalogue: llmkit's own, with the models that the client was given over it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmkit.errors import ConfigError

if TYPE_CHECKING:
    from llmkit.catalog.store import Catalog
    from llmkit.values.models import ModelInfo
    from llmkit.values.price import Price


class ClientCatalog:
    """Made with a client, and read when something first asks. It does not know the client, which may be gone when the last of its
    books are priced.

    :param own: the client's own models, the last of a name wins.
    """

    def __init__(self, own: tuple[ModelInfo, ...] = ()) -> None:
        self._own = own
        self._catalog: Catalog | None = None

    def get(self) -> Catalog:
        """The catalogue. No lock is taken, since the router asks under its own; two that are made at once are alike."""
        if self._catalog is None:
            from llmkit.catalog.store import Catalog

            self._catalog = Catalog(self._own)
        return self._catalog

    def find(self, provider: str, model: str) -> ModelInfo | None:
        """What is known of a provider's model."""
        return self.get().find(provider, model)

    def price_of(self, provider: str, model: str) -> Price | None:
        """What a provider's model costs; None where that is not known."""
        return self.get().price_of(provider, model)


def own_models(given: Iterable[Any], registered: Iterable[Iterable[Any]]) -> tuple[ModelInfo, ...]:
    """The models that plugins register, with those that were ``given`` after them, so that they win.

    :raises ConfigError: if one of those given is no :class:`~llmkit.ModelInfo`, or does not say whose it is.
    """
    offered = [model for models in registered for model in models]
    if not offered and not given:
        return ()
    from llmkit.values.models import ModelInfo

    good = [model for model in offered if isinstance(model, ModelInfo) and model.provider]
    if wrong := len(offered) - len(good):
        said = "models of plugins are left out: expected ModelInfo with a provider"
        warnings.warn(f"{wrong} {said}", RuntimeWarning, stacklevel=5)
    for model in given:
        if not isinstance(model, ModelInfo):
            raise ConfigError(f"models: expected ModelInfo, got {type(model).__name__}")
        if not model.provider:
            raise ConfigError(f"models: {model.id!r} names no provider")
    return (*good, *given)
