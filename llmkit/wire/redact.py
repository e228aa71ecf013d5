"""Taking out of vendors' texts what looks like a key, before the text enters an exception or a log."""

from __future__ import annotations

import re
from collections.abc import Callable

MOST_BODY = 2000
"""Characters of an error body that an exception keeps."""

_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
"""Where a key can begin: not inside a word, but after an escape of JSON."""

_NAMES = r"x-api-key|x-goog-api-key|api[-_ ]?key(?:[ ]provided)?|(?:access|auth|bearer)[-_ ]?token|client[-_ ]?secret|authorization"
"""Names after which a key stands, whatever it looks like."""

_KEYS = rf"""
    (?P<name>(?i:{_NAMES})[\\"']*\s*[:=]\s*[\\"']*(?:(?:Bearer|Basic)\s+)?)[^\s"'\\,}}<>&]{{6,}}  # whatever is named a key
    | {_START}(?:sk|pk|rk|gsk|xai|pplx|hf|tgp|csk|fw|nvapi|r8)[-_][A-Za-z0-9_\-*.]{{6,}}  # prefixed keys, masked ones too
    | {_START}key[-_][A-Za-z0-9*]{{16,}}
    | {_START}AIza[0-9A-Za-z_\-*]{{6,}} | {_START}ya29\.[0-9A-Za-z_\-*]{{6,}}  # Google
    | {_START}(?:AKIA|ASIA)[0-9A-Z*]{{8,}}  # Amazon
    | {_START}eyJ[0-9A-Za-z_\-*]{{6,}}(?:\.[0-9A-Za-z_\-]+)*  # JSON web tokens
    | {_START}(?:c2st|Z3Nr|eGFp|cHBs|aGZf|dGdw|Y3Nr|Zndf|bnZh|cjhf|QUl6)[A-Za-z0-9+/_\-]{{8,}}={{0,2}}  # prefixes in base64
    | {_START}(?i:Bearer|Basic)\s+[^\s"'\\,}}<>]{{6,}}  # authorization headers
    | (?<=[?&])(?i:key|api_key|api-key|apikey|access_token|token)=[^\s&"'<>\\]+  # query parameters
    | (?<=://)[^\s/@:"']+:[^\s/@"']+(?=@)  # user information in URLs
    """
"""What keys look like; compiled, as the others here, when the first error comes."""
_RUNS = r"[A-Za-z0-9+/_\-%]{24,}={0,2}"
_WORDS = r"(?<![-_])[A-Za-z0-9+/]{24,}={0,2}|[A-Za-z0-9]{32,}"


def redact(text: str) -> str:
    """``text`` with everything that looks like a key replaced by ``[redacted]``.

    Knows keys by their prefix (the first 12 characters are enough), by the name before them, by their length and mixture, in
    base64 and URL-encoded. What it cannot know: the first few characters of a key without a prefix, standing alone.
    """
    known = re.sub(_KEYS, lambda found: (found["name"] or "") + "[redacted]", text, flags=re.VERBOSE)
    return re.sub(_RUNS, _run, known)


def _run(found: re.Match[str]) -> str:
    """A long run of characters that keys are made of, which may also be a path, a model's name or a vendor's id."""
    run = found[0]
    if len(run) >= 40 and _has(run, str.isdigit) and _has(run, str.isupper):
        return "[redacted]"
    return re.sub(_WORDS, _word, run)


def _word(found: re.Match[str]) -> str:
    word = found[0]
    long = len(word) >= 32 and word.isalnum()
    opaque = _has(word, str.isdigit) and (long or (_has(word, str.isupper) and _has(word, str.islower)))
    return "[redacted]" if opaque else word


def _has(text: str, kind: Callable[[str], bool]) -> bool:
    return any(map(kind, text))


def describe(problem: BaseException) -> str:
    """An exception of somebody else's code as one short line: its type and, where it can be told, what it says."""
    try:
        said = redact(" ".join(str(problem)[:8000].split()))[:200]
    except Exception:  # its __str__ is somebody else's code too
        said = ""
    return f"{type(problem).__name__}: {said}" if said else type(problem).__name__


def without_secret(text: str, secret: str) -> str:
    """``text`` without ``secret``, and without its first 12 characters; a secret of less than 8 is any word and stays."""
    if len(secret) >= 8:
        for part in (secret, secret[:12]):
            text = text.replace(part, "[redacted]")
    return text


def excerpt(body: bytes) -> str:
    """The start of an error body, fit to be shown: redacted, and with control characters escaped."""
    text = redact(body[: MOST_BODY * 4].decode("utf-8", "replace"))[:MOST_BODY]
    return "".join([c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text])
