"""The catalogue of models: what is known of each, by whichever of its names it is asked for.

A name is looked up by these rules, the first that finds a model wins; a name that none of them finds is not known, and nothing is
guessed.

1. The name itself, or another name that the data give for it.
2. Without a path in front that names no maker: ``models/``, ``publishers/google/models/``, or the provider's own name.
3. A fine-tuned model (``ft:gpt-4o-2024-08-06:org::id``) is ``ft:`` and the name of its base.
4. A dated snapshot (``-2024-08-06``, ``-20240806``, ``@20240806``) that is not in the data is the undated model.
5. All of these without regard to upper and lower case.
"""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Iterable, Iterator, Mapping

import attrs

from llmkit.catalog import BUILT_IN_PROVIDERS, PROVIDER_ALIASES, provider_for, split_model
from llmkit.catalog.facts import VENDORS, Rows, model_info, read
from llmkit.values.models import ModelInfo
from llmkit.values.price import Price

_DATE = re.compile(r"[-@]20\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])$")
_PATH = re.compile(r"^(?:publishers/[a-z0-9-]+/)?models/")
_log = logging.getLogger("llmkit")
_FACTS = tuple(field.name for field in attrs.fields(ModelInfo) if field.name not in ("id", "provider", "raw"))
MOST_REMEMBERED = 10_000
"""Names whose model is remembered; a program that makes names up must not fill the memory."""


class Catalog:
    """The models that llmkit knows, with those of your own over them.

    :param models: further models, or facts that replace those of models it knows; what is None in them is left as it is.
    """

    def __init__(self, models: Iterable[ModelInfo] = ()) -> None:
        self._own: dict[str, dict[str, ModelInfo]] = {}
        self._read: dict[str, tuple[Rows, Mapping[str, str], dict[str, str]]] = {}
        self._found: dict[tuple[str, str], ModelInfo | None] = {}
        self._told: set[str] = set()
        for model in models:
            self._own.setdefault(model.provider or "", {})[model.id] = model

    # ------------------------------------------------------------------------------------------- one model

    def find(self, provider: str, name: str) -> ModelInfo | None:
        """What is known of a provider's model, or None; see the rules above."""
        key = (provider, name)
        try:
            return self._found[key]
        except KeyError:
            pass
        found = self._look_up(provider, name)
        if len(self._found) >= MOST_REMEMBERED:
            self._found.clear()
        self._found[key] = found
        return found

    def price_of(self, provider: str, name: str) -> Price | None:
        """What a provider's model costs; None where it is not known."""
        found = self.find(provider, name)
        return None if found is None else found.price

    def get(self, model: str) -> ModelInfo | None:
        """What is known of ``provider/model``, or of a bare name that belongs to one provider alone; otherwise None."""
        provider, bare = split_model(model, {*BUILT_IN_PROVIDERS, *self._own})
        provider = provider or provider_for(bare)
        if provider is not None:
            return self.find(provider, bare)
        found = [info for vendor in self.providers() if (info := self.find(vendor, bare)) is not None]
        return found[0] if len(found) == 1 else None

    def load(self, providers: Iterable[str]) -> None:
        """Read the files of these providers, unless they are read."""
        for provider in providers:
            self._data(provider)

    # ------------------------------------------------------------------------------------------- many

    def providers(self) -> tuple[str, ...]:
        """The providers of whose models something is known."""
        return tuple(dict.fromkeys((*VENDORS, *self._own)))

    def models(self, provider: str | None = None) -> Iterator[ModelInfo]:
        """Every model, or a provider's."""
        for vendor in self.providers() if provider is None else (provider,):
            own = self._own.get(vendor, {})
            rows = self._data(vendor)[0]
            for name, row in rows.items():
                info = self._found.get((vendor, name)) or _over(own.get(name), model_info(vendor, name, row))
                if info is not None:
                    yield info
            yield from [model for name, model in own.items() if name not in rows]

    def with_facts(self, listed: ModelInfo) -> ModelInfo:
        """A model from a vendor's list, with the catalogue's facts where the vendor says nothing."""
        known = None if listed.provider is None else self.find(listed.provider, listed.id)
        if known is None:
            return listed
        missing = {name: value for name in _FACTS if getattr(listed, name) is None and (value := getattr(known, name)) is not None}
        return attrs.evolve(listed, **missing) if missing else listed

    def tell(self, remark: str) -> None:
        """Note something in the log named ``llmkit``, at level INFO, once."""
        if remark not in self._told and len(self._told) < MOST_REMEMBERED:
            self._told.add(remark)
            _log.info("%s", remark)

    # ------------------------------------------------------------------------------------------- how names are found

    def _data(self, vendor: str) -> tuple[Rows, Mapping[str, str], dict[str, str]]:
        """A vendor's rows, other names, and every name by its lower-case form."""
        data = self._read.get(vendor)
        if data is None:
            rows, aliases = read(vendor)
            names = (*self._own.get(vendor, ()), *aliases, *rows)
            data = self._read[vendor] = (rows, aliases, {name.lower(): name for name in names})
        return data

    def _look_up(self, provider: str, name: str) -> ModelInfo | None:
        rows, aliases, lowered = self._data(provider)
        own = self._own.get(provider, {})
        for spelling in _spellings(provider, name):
            known = spelling if spelling in rows or spelling in own else lowered.get(spelling.lower())
            if known is None:
                continue
            target = known if known in rows or known in own else aliases[known]
            row, mine = rows.get(target), own.get(known) or own.get(target)
            info = None if row is None else model_info(provider, target, row)
            return _over(mine, info)
        return None


def _spellings(provider: str, name: str) -> Iterator[str]:
    """The names to look for, the most exact first."""
    yield name
    bare = _PATH.sub("", name)
    first, slash, rest = bare.partition("/")
    if slash and PROVIDER_ALIASES.get(first, first) == provider:
        bare = rest
    if bare != name:
        yield bare
    if bare.startswith("ft:"):
        bare = "ft:" + bare.split(":")[1]
        yield bare
    undated = _DATE.sub("", bare)
    if undated != bare:
        yield undated


def _over(mine: ModelInfo | None, info: ModelInfo | None) -> ModelInfo | None:
    """One's own facts over the catalogue's."""
    if mine is None or info is None:
        return mine or info
    said = {field.name: value for field in attrs.fields(ModelInfo) if (value := getattr(mine, field.name)) is not None}
    if "price" in said:
        said.setdefault("note", None)  # which was about the price
    return attrs.evolve(info, **said)


CATALOG = Catalog()
"""The catalogue without anything of your own."""


def serves(info: ModelInfo, day: datetime.date | None) -> bool:
    """Whether a model has not been retired by a day."""
    return day is None or info.retires is None or info.retires > day
