"""A number of tokens, and what it is worth."""

from __future__ import annotations

from typing import Any, NoReturn


class TokenCount(int):
    """A number of tokens that says whether it is exact, and by what it was counted. Otherwise it is an ``int``."""

    exact: bool
    """Whether the vendor counts the same. False for every estimate."""
    by: str
    """By what it was counted, for people: ``tiktoken o200k_base + OpenAI's message rules``."""

    def __new__(cls, tokens: int, exact: bool, by: str) -> TokenCount:
        """A count of ``tokens``."""
        made = int.__new__(cls, tokens)
        fields = made.__dict__
        fields["exact"] = exact
        fields["by"] = by
        return made

    @property
    def tokens(self) -> int:
        """The number alone."""
        return int(self)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a TokenCount is frozen: {name} cannot be set")

    def __repr__(self) -> str:
        return f"TokenCount({int(self)}, exact={self.exact}, by={self.by!r})"

    def __str__(self) -> str:
        return str(int(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (TokenCount, (int(self), self.exact, self.by))
