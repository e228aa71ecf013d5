"""Taking out of vendors' texts what looks like a key, before the text enters an exception or a log."""

from __future__ import annotations

import re

MOST_BODY = 2000
"""Characters of an error body that an exception keeps."""

_KEYS = re.compile(
    r"""
    (?:\b(?:sk|pk|rk|gsk|xai|pplx|hf|tgp|key|csk|fw|nvapi|r8)[-_][A-Za-z0-9_\-*.]{8,})   # prefixed keys, masked ones too
    | (?:\bAIza[0-9A-Za-z_\-*]{10,})                                                  # Google
    | (?:\b(?:Bearer|Basic)\s+[^\s"'\\,}<>]{6,})                                      # authorization headers
    | (?:(?<=[?&])(?:key|api_key|api-key|apikey|access_token|token)=[^\s&"'<>\\]+)    # query parameters
    | (?:(?<=://)[^\s/@:"']+:[^\s/@"']+(?=@))                                         # user information in URLs
    | (?:\b[A-Za-z0-9+/_\-]{40,}={0,2})                                               # long opaque tokens
    """,
    re.VERBOSE,
)


def redact(text: str) -> str:
    """``text`` with everything that looks like a key replaced by ``[redacted]``."""
    return _KEYS.sub("[redacted]", text)


def excerpt(body: bytes) -> str:
    """The start of an error body, fit to be shown: redacted, and with control characters escaped."""
    text = redact(body[: MOST_BODY * 4].decode("utf-8", "replace"))[:MOST_BODY]
    return "".join([c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text])
