"""Which proxy an origin is reached through. The environment is looked at when the setting says so, and only then."""

from __future__ import annotations

import base64
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass


class Proxy(NamedTuple):
    """A proxy, with its credentials apart from its URL."""

    url: str
    authorization: str | None

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


class Proxies:
    """A ``proxy`` setting: None or ``none``, ``env`` for ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``, or a URL."""

    def __init__(self, setting: str | None) -> None:
        self._setting = None if setting in (None, "", "none") else setting
        self._found: dict[str, Proxy | None] = {}

    def __repr__(self) -> str:
        return "Proxies('env')" if self._setting == "env" else f"Proxies({'a proxy' if self._setting else None!r})"

    def find(self, url: SplitResult) -> Proxy | None:
        """The proxy for a URL's origin; looked up once per origin."""
        if self._setting is None:
            return None
        origin = f"{url.scheme}://{url.netloc}"
        if origin not in self._found:
            if len(self._found) >= 1000:
                self._found.clear()
            self._found[origin] = self._look_up(url)
        return self._found[origin]

    def authorization(self, url: str) -> str | None:
        """The ``Proxy-Authorization`` for a proxy that :meth:`find` has given."""
        return next((proxy.authorization for proxy in self._found.values() if proxy and proxy.url == url), None)

    def _look_up(self, url: SplitResult) -> Proxy | None:
        setting = self._setting
        if setting == "env":
            if proxy_bypass(url.netloc.rpartition("@")[2]):
                return None
            known = getproxies()
            setting = known.get(url.scheme) or known.get("all")
        return _split(setting) if setting else None


def _split(setting: str) -> Proxy:
    parts = urlsplit(setting if "://" in setting else f"http://{setting}")
    userinfo, _, netloc = parts.netloc.rpartition("@")
    authorization = None
    if userinfo:
        user, _, password = userinfo.partition(":")
        token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode("ascii")
        authorization = f"Basic {token}"
    return Proxy(parts._replace(netloc=netloc).geturl(), authorization)
