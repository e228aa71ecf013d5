"""A key that does not print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


class Secret:
    """Holds an API key. Only :meth:`reveal` gives it back; nothing else shows, compares quickly or copies it out.

    :param value: the key. White space around it is taken off (a trailing newline is the commonest mistake in mounted
        secrets); what is left must be visible ASCII.
    :raises ValueError: if it is empty or holds a character that cannot stand in an HTTP header. The message does not
        show the value.
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        value = value.strip()
        if not value:
            raise ValueError("the key is empty")
        if not all("\x21" <= character <= "\x7e" for character in value):
            raise ValueError("the key holds a space, a control character or a non-ASCII character")
        self._reveal: Callable[[], str] = lambda: value

    def reveal(self) -> str:
        """The key itself. Call it where a header is built, and keep the result in no variable that lives on."""
        return self._reveal()

    def fingerprint(self) -> str:
        """Eight hexadecimal digits of the key's SHA-256: tells keys apart, tells nothing about them."""
        import hashlib

        return hashlib.sha256(self._reveal().encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        from hmac import compare_digest

        return isinstance(other, Secret) and compare_digest(self._reveal(), other._reveal())

    def __hash__(self) -> int:
        return hash(self._reveal())

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: it would write the key out")
