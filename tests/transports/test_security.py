"""TLS, and secrets that stay inside."""

from __future__ import annotations

import subprocess
import sys
import traceback
import warnings

import pytest

from llmkit.errors import LLMError, NetworkError, TLSError
from llmkit.transports import tls
from tests.support.faultserver import Certificate, FaultServer, chunk, fin, hang, head, raw, reply, tunnel
from tests.transports.conftest import SECRET, Colour, request


@pytest.mark.parametrize("kind", ["self-signed", "wrong host"])
def test_certificates_that_are_not_acceptable(colour: Colour, certificates: dict[str, Certificate], kind: str) -> None:
    """One attempt, and nothing of the request is sent."""
    used = certificates["right" if kind == "self-signed" else "wrong"]
    with FaultServer(tuple(used)) as server:
        made = colour.another(verify=True if kind == "self-signed" else str(used.file))
        with pytest.raises(TLSError) as caught:
            made.send(server.on("/", reply()))
        assert not caught.value.ambiguous
        assert (server.count(), server.connections) == (0, 1)
        made.close()


def test_a_bundle_of_ones_own(colour: Colour, certificates: dict[str, Certificate]) -> None:
    right = certificates["right"]
    with FaultServer(tuple(right)) as server:
        made = colour.another(verify=str(right.file))
        url = server.on("/", reply(b"safe"))
        assert [made.send(url).body for _ in range(2)] == [b"safe", b"safe"]
        assert server.connections == 1
        made.close()


def test_no_check_warns_once(colour: Colour, certificates: dict[str, Certificate]) -> None:
    tls.context.cache_clear()
    with FaultServer(tuple(certificates["wrong"])) as server, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = colour.another(verify=False)
        url = server.on("/", reply(b"unsafe"))
        assert [made.send(url).body for _ in range(2)] == [b"unsafe", b"unsafe"]
        made.close()
    assert len([each for each in caught if "not checked" in str(each.message)]) == 1
    assert len(caught) == 1


# On 3.10 asyncio itself warns of the TLS transport that it replaces when TLS begins inside a tunnel.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning" if sys.version_info < (3, 11) else "error")
def test_https_through_a_proxy(colour: Colour, server: FaultServer, certificates: dict[str, Certificate]) -> None:
    """The proxy gets its credentials and sees nothing of the request; the connection is kept, and replaced when stale."""
    right = certificates["right"]
    with FaultServer(tuple(right)) as vendor:
        server.on(f"127.0.0.1:{vendor.port}", tunnel(vendor.port))
        made = colour.another(verify=str(right.file), proxy=server.url.replace("://", "://user:word@"))
        url = vendor.on("/", reply(b"1"), reply(b"2"), fin(), reply(b"3"))
        assert [made.send(url).body for _ in range(3)] == [b"1", b"2", b"3"]
        made.close()
    assert [seen.method for seen in server.requests] == ["CONNECT", "CONNECT"]
    assert {seen.headers["proxy-authorization"] for seen in server.requests} == {"Basic dXNlcjp3b3Jk"}
    assert SECRET not in str(server.requests)
    assert all("proxy-authorization" not in seen.headers for seen in vendor.requests)


def test_a_proxy_that_refuses(colour: Colour, server: FaultServer) -> None:
    server.on("vendor.example:443", reply(b"no", 407))
    made = colour.another(proxy=server.url.replace("://", "://user:word@"))
    with pytest.raises(NetworkError) as caught:
        made.send("https://vendor.example/")
    assert not caught.value.ambiguous
    assert "word" not in str(caught.value)
    made.close()


def test_an_old_protocol_is_refused() -> None:
    assert tls.context(True).minimum_version >= 0x0303


FAULTS = [
    fin(),
    raw(b"HTTP/1.1 200 OK\r\nbroken"),
    raw(b"HTTP/1.1 999999 OK\r\n\r\n"),
    raw(head(200, {"Content-Length": "99"}) + b"x"),
    raw(head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"a") + b"zz\r\n"),
    raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n"),
    hang(),
]


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_no_key_hangs_on_an_error(colour: Colour, server: FaultServer, number: int, caplog: pytest.LogCaptureFixture) -> None:
    """Neither on its chain, nor in what it prints, nor in the local variables of llmkit's frames, nor in any log."""
    caplog.set_level(1)
    with pytest.raises(LLMError) as caught:
        colour.send(server.on("/", FAULTS[number]), seconds=0.3)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert SECRET not in repr(vars(error))
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in frames.stack if "transports" in frame.filename and "tests" not in frame.filename]
    assert ours
    assert SECRET not in str([frame.locals for frame in ours])
    assert SECRET not in caplog.text


def test_a_request_does_not_print_its_keys() -> None:
    assert SECRET not in repr(request("http://localhost/"))
    assert "x-api-key" in repr(request("http://localhost/"))


@pytest.mark.parametrize(("module", "other"), [("blocking", "aiohttp"), ("aio", "requests"), ("aio", "urllib3")])
def test_one_colour_does_not_import_the_others_library(module: str, other: str) -> None:
    code = f"import sys, llmkit.transports.{module}; sys.exit({other!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
