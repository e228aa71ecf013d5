"""The one TLS context per setting, for both colours."""

from __future__ import annotations

import functools
import ssl
import threading
import warnings
from typing import Any

import certifi

handshake = threading.local()
"""``handshake.begins``, if set, is called with the socket of a handshake that begins in this thread."""


class _Socket(ssl.SSLSocket):
    """Tells of itself before the handshake: until that is over, nobody else has a socket to shut down."""

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:
        begins = getattr(handshake, "begins", None)
        if begins is not None:
            begins(self)
        super().do_handshake(*args, **kwargs)


@functools.lru_cache(maxsize=16)
def context(verify: bool | str) -> ssl.SSLContext:
    """The context for a ``verify`` setting: True for the system's and certifi's authorities, a path for that bundle alone,
    False for no check, which warns once per process. TLS 1.2 at least.

    :raises OSError: if there is no such bundle.
    """
    if isinstance(verify, str):
        made = ssl.create_default_context(cafile=verify)
    else:
        made = ssl.create_default_context()
        made.load_verify_locations(cafile=certifi.where())
    if verify is False:
        warnings.warn("TLS certificates are not checked (verify=False): keys and prompts may be read by others", stacklevel=4)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    made.sslsocket_class = _Socket
    return made
