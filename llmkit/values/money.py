"""Money: whole numbers of 10^-12 US dollars inside, :class:`~decimal.Decimal` outside, nothing rounded between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

PER_DOLLAR = 10**12
"""Units in a US dollar: a price of 0.05 dollars for a million tokens is 50,000 units for each."""


def dollars(units: int) -> Decimal:
    """Units as US dollars, exactly, without zeros at the end."""
    from decimal import Decimal

    whole, rest = divmod(abs(units), PER_DOLLAR)
    text = f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
    return Decimal(text if units >= 0 else f"-{text}")


def units(amount: Any) -> int:
    """US dollars as units; a float counts as the decimal number that it prints as.

    :raises ValueError: if it is no finite number.
    """
    from decimal import Context, Decimal, InvalidOperation

    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        value = Decimal("nan")
    if isinstance(amount, bool) or not value.is_finite() or value.adjusted() > 30:
        raise ValueError(f"no amount of money: {amount!r}")
    return int(Context(prec=60).multiply(value, PER_DOLLAR).to_integral_value())
