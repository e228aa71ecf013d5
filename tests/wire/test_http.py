"""HTTP as values."""

from __future__ import annotations

import attrs
import pytest

from llmkit.wire.http import HttpReply, HttpRequest


def test_more_headers_win_over_earlier_ones_whatever_their_case() -> None:
    request = HttpRequest("POST", "https://a.b/c", {"authorization": "old", "Accept": "x"}, b"{}")
    more = request.with_headers({"Authorization": "new", "X-More": "1"})
    assert more == HttpRequest("POST", "https://a.b/c", {"Accept": "x", "Authorization": "new", "X-More": "1"}, b"{}")
    assert request.headers == {"authorization": "old", "Accept": "x"}


def test_requests_and_replies_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        HttpRequest("GET", "https://a.b", {}).url = "https://evil"  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        HttpReply(200, {}, b"").status = 500  # type: ignore[misc]
