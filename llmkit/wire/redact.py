"""Taking out of vendors' texts what looks like a key, before the text enters an exception or a log."""

from __future__ import annotations

import re

MOST_BODY = 2000
"""Characters of an error body that an exception keeps."""

_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
"""Where a key can begin: not inside a word, but after an escape of JSON."""

_NAMES = (
    r"x-api-key|x-goog-api-key|api[-_ ]?key(?:[ ]provided)?|(?:access|auth|bearer)[-_ ]?token|client[-_ ]?secret|authorization"
)
"""Names after which a key stands, whatever it looks like."""

_KEYS = re.compile(
    rf"""
    (?P<name>(?i:{_NAMES})[\\"']*\s*[:=]\s*[\\"']*(?:(?:Bearer|Basic)\s+)?)[^\s"'\\,}}<>&]{{6,}}  # whatever is named a key
    | {_START}(?:sk|pk|rk|gsk|xai|pplx|hf|tgp|csk|fw|nvapi|r8)[-_][A-Za-z0-9_\-*.]{{6,}}          # prefixed keys, masked ones too
    | {_START}key[-_](?=[A-Za-z_\-*.]*\d)[A-Za-z0-9_\-*.]{{8,}}
    | {_START}AIza[0-9A-Za-z_\-*]{{6,}} | {_START}ya29\.[0-9A-Za-z_\-*]{{6,}}                      # Google
    | {_START}(?:AKIA|ASIA)[0-9A-Z*]{{8,}}                                                      # Amazon
    | {_START}eyJ[0-9A-Za-z_\-*]{{6,}}(?:\.[0-9A-Za-z_\-]+)*                                    # JSON web tokens
    | {_START}(?:c2st|Z3Nr|eGFp|cHBs|aGZf|dGdw|Y3Nr|Zndf|bnZh|cjhf|QUl6)[A-Za-z0-9+/_\-]{{8,}}={{0,2}}
    | {_START}(?i:Bearer|Basic)\s+[^\s"'\\,}}<>]{{6,}}                                            # authorization headers
    | (?<=[?&])(?i:key|api_key|api-key|apikey|access_token|token)=[^\s&"'<>\\]+                # query parameters
    | (?<=://)[^\s/@:"']+:[^\s/@"']+(?=@)                                                      # user information in URLs
    | {_START}(?=[A-Za-z0-9+/_\-%]*\d)(?=[A-Za-z0-9+/_\-%]*[A-Z])(?:[A-Za-z0-9+/_\-]|%[0-9A-Fa-f]{{2}}){{40,}}={{0,2}}
    | {_START}(?=[A-Za-z]*\d)[A-Za-z0-9]{{32,}}                                                 # opaque tokens
    | {_START}(?<![-_])(?=[A-Za-z0-9+/]*\d)(?=[A-Za-z0-9+/]*[A-Z])(?=[A-Za-z0-9+/]*[a-z])[A-Za-z0-9+/]{{24,}}={{0,2}}
    """,
    re.VERBOSE,
)


def redact(text: str) -> str:
    """``text`` with everything that looks like a key replaced by ``[redacted]``.

    Knows keys by their prefix (the first 12 characters are enough), by the name before them, by their length and mixture, in
    base64 and URL-encoded. What it cannot know: the first few characters of a key without a prefix, standing alone.
    """
    return _KEYS.sub(lambda found: (found["name"] or "") + "[redacted]", text)


def excerpt(body: bytes) -> str:
    """The start of an error body, fit to be shown: redacted, and with control characters escaped."""
    text = redact(body[: MOST_BODY * 4].decode("utf-8", "replace"))[:MOST_BODY]
    return "".join([c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text])
