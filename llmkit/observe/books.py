"""The part of a client that tells what it has been used for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from llmkit.errors import InvalidRequestError, shown

if TYPE_CHECKING:
    from llmkit.observe.rows import By, UsageRow
    from llmkit.values.budgets import BudgetState
    from llmkit.values.usage import Usage


class Books:
    """Books and budgets of a client, read."""

    _core: Any
    _runtime: Any

    def usage(self, by: By = "instance") -> tuple[UsageRow, ...]:
        """Calls, errors, tokens and cost, as far as this client knows; ``usage_db`` and ``llmkit usage`` know what was before.

        :param by: ``instance``, ``key``, ``model``, ``provider``, ``task``, ``tag``, several of them, or None for one row over all.
        :raises InvalidRequestError: if there is nothing of the kind to group by.
        """
        rows: tuple[UsageRow, ...] = self._core.ledger.rows(by)
        if by is not None and ("hour" in by or "day" in by):
            raise InvalidRequestError("by: a client's books keep no hours and days; usage_db does, for `llmkit usage --by day`")
        return rows

    def total_usage(self) -> UsageRow:
        """The sum over all calls."""
        return self.usage(None)[0]

    def get_instance_usage(self, instance: str) -> Usage:
        """An instance's tokens, as flyllm has it.

        :raises ConfigError: if there is none of that name.
        """
        name = self._core.router.route(instance).name
        return next(row.usage for row in self.usage() if row.instance == name)

    def get_total_usage(self) -> Usage:
        """All tokens together, as flyllm has it."""
        return self.total_usage().usage

    def print_token_usage(self, write: Callable[[str], object] = print, by: By = "instance") -> None:
        """Print :meth:`usage` as a table."""
        from llmkit.observe.table import table

        write(table(self.usage(by), by))

    def export_usage(self, format: Literal["json", "csv", "prometheus"] = "json", by: By = "instance") -> str:
        """The books for other programs, as :mod:`llmkit.observe.export` describes.

        :param by: as for :meth:`usage`; Prometheus' format has labels of its own.
        :raises InvalidRequestError: if there is no such format, or nothing of the kind to group by.
        """
        from llmkit.observe.export import to_csv, to_json, to_prometheus

        if format == "prometheus":
            ledger = self._core.ledger
            return to_prometheus(ledger.kept(), ledger.retries(), self._healthy())
        if format not in ("json", "csv"):
            raise InvalidRequestError(f"format: expected json, csv or prometheus, got {shown(format)}")
        return to_json(self.usage(by)) if format == "json" else to_csv(self.usage(by))

    def _healthy(self) -> dict[str, bool]:
        """For each provider, whether an instance of it can take calls, room in its limits aside."""
        now = self._runtime.now()
        healthy: dict[str, bool] = {}
        for route in self._core.router.routes():
            well = route.enabled and route.unwell is None and route.breaker.until <= now
            rested = any(key.rest_until <= now for key in route.keys.keys)
            healthy[route.provider.name] = healthy.get(route.provider.name, False) or (well and rested)
        return healthy

    def budgets(self) -> tuple[BudgetState, ...]:
        """How each budget stands in its present window: used, held by calls under way, and when it begins anew."""
        budgets = self._core.budgets
        states: tuple[BudgetState, ...] = () if budgets is None else budgets.states(self._runtime.time())
        return states

    async def _end(self) -> None:
        """Close the runtime, then write the last of the books."""
        await self._runtime.aclose()
        if self._core.writer is not None:
            await self._runtime.run(self._core.writer.flush)
