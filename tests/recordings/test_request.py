"""What llmkit sends for a recorded call means the same as what was recorded.

The 24 cases whose request is ``synthetic`` are left out: their request was made up to go with a recorded reply, and never sent.
Query parameters and headers are not compared; ``tests/providers`` has them.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson

from llmkit.values.calls import ChatCall

from .asked import call_for, instance_for
from .cases import CASES, Case, each, needs_recordings
from .listed import check
from .meaning import differing, meaning
from .replay import provider

needs_recordings()

ASKED = [case for case in CASES if case.request_origin != "synthetic"]


def test_synthetic_requests_are_counted() -> None:
    """So that no others go untested."""
    assert len(CASES) - len(ASKED) == 24


@each(ASKED)
def test_what_is_sent_means_the_same(case: Case) -> None:
    """Method, path and body, in their canonical form; and nothing that the vendor answered was refused before sending."""
    vendor, call, instance = provider(case.provider), call_for(case), instance_for(case)
    request = vendor.encode(call, instance)
    body = orjson.loads(request.body) if request.body else None
    sent = meaning(case, urlsplit(request.url).path, body)
    found = differing(sent, meaning(case, case.path, case.request))
    if request.method != case.method:
        found.append(f"method: sent {request.method}, recorded {case.method}")
    if isinstance(call, ChatCall) and case.expected["outcome"] == "ok":
        found += [f"refused: {feature}" for feature in vendor.unsupported(call, instance)]
    check(case, "meaning", found)
