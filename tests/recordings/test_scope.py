"""Nothing falls out of the recordings unseen."""

from __future__ import annotations

import pytest

from .cases import BY_ID, CASES, EVERY_CASE, IN_SCOPE, LEFT_OUT, OUT_OF_SCOPE, needs_recordings
from .listed import LISTED, MOST, check

needs_recordings()


def test_what_is_left_out_is_counted() -> None:
    """A new kind or dialect must be put in scope, or out of it with a reason."""
    assert dict(LEFT_OUT) == OUT_OF_SCOPE
    assert len(CASES) == IN_SCOPE == len(EVERY_CASE) - sum(OUT_OF_SCOPE.values())


def test_ids_tell_cases_apart() -> None:
    """The list of differences names cases by id."""
    assert len(BY_ID) == len(CASES)


def test_the_list_names_known_cases_and_reasons() -> None:
    """A mistyped id, or one without a reason, hides nothing."""
    assert [case for section in LISTED.values() for case in section if case not in BY_ID] == []
    assert [case for section in LISTED.values() for case, reason in section.items() if len(reason) < 20] == []


def test_the_list_is_short() -> None:
    """At most two in a hundred cases may differ, whatever the reasons."""
    assert len({case for section in LISTED.values() for case in section}) <= MOST * len(CASES)


def test_a_listed_case_that_passes_again_fails() -> None:
    """The list cannot outlive its reasons."""
    section, case = next((section, case) for section, cases in LISTED.items() for case in cases)
    with pytest.raises(AssertionError, match="take it off the list"):
        check(BY_ID[case], section, [])
