"""What a well-behaved, or merely odd, server sends arrives exactly."""

from __future__ import annotations

import gzip
import zlib

import pytest

from llmkit.errors import InvalidResponseError, NetworkError, ResponseTooLarge
from llmkit.wire.http import HttpRequest
from tests.support.faultserver import FaultServer, chunk, fin, head, raw, reply, reset, trickle
from tests.transports.conftest import Colour


def test_reply(colour: Colour, server: FaultServer) -> None:
    url = server.on("/a?b=%20c", reply(b'{"x": 1}', 201, {"X-Request-ID": "r1", "X-Two": "a\r\nX-Two: b"}))
    answer = colour.send(url, body=b"hello")
    assert (answer.status, answer.body) == (201, b'{"x": 1}')
    assert answer.headers["x-request-id"] == "r1"
    assert answer.headers["x-two"] == "a, b"
    seen = server.requests[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/a?b=%20c", b"hello")
    assert seen.headers["accept-encoding"] == "gzip, deflate"
    assert seen.headers["user-agent"] == "llmkit"
    assert seen.headers["content-length"] == "5"


def test_both_colours_send_the_same_headers(server: FaultServer) -> None:
    url = server.on("/", reply())
    for name in ("sync", "async"):
        made = Colour(name)
        made.send(url)
        made.close()
    first, second = (seen.headers for seen in server.requests)
    assert {**first, "connection": ""} == {**second, "connection": ""}


def test_a_header_of_the_request_replaces_one_of_llmkits(colour: Colour, server: FaultServer) -> None:
    call = HttpRequest("GET", server.on("/", reply()), {"accept-encoding": "identity", "USER-AGENT": "mine"})
    colour.run(colour.runtime.send(call, 2, colour.runtime.now() + 5))
    seen = server.requests[0].headers
    assert (seen["accept-encoding"], seen["user-agent"]) == ("identity", "mine")
    assert "content-length" not in seen


def test_a_body_read_to_its_end_gives_the_connection_back(colour: Colour, server: FaultServer) -> None:
    url = server.on("/", reply(b"x" * 200_000))
    for _ in range(3):
        assert len(colour.send(url).body) == 200_000
    body = colour.open(url)
    while colour.read(body):
        pass
    colour.run(body.aclose())
    colour.send(url)
    assert (server.count(), server.connections) == (5, 1)


@pytest.mark.parametrize(
    "data",
    [
        head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"he") + chunk(b"llo") + b"0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        head(103, {"Link": "</x>"}) + head(200, {"Content-Length": "5"}) + b"hello",
        head(200, {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}) + chunk(gzip.compress(b"hello")) + b"0\r\n\r\n",
        head(200, {"Content-Encoding": "deflate"}) + zlib.compress(b"hello"),
    ],
    ids=["chunked", "http10", "early hints", "gzip", "deflate until close"],
)
def test_framings(colour: Colour, server: FaultServer, data: bytes) -> None:
    assert colour.send(server.on("/", raw(data))).body == b"hello"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_replies_and_not_followed(colour: Colour, server: FaultServer, status: int) -> None:
    with FaultServer() as target:
        url = server.on("/", reply(b"", status, {"Location": target.on("/", reply())}))
        assert colour.send(url).status == status
        assert (server.count(), target.connections) == (1, 0)


def test_large_request(colour: Colour, server: FaultServer) -> None:
    body = b"x" * 3_000_000
    colour.send(server.on("/", reply()), body=body)
    assert server.requests[0].body == body


def test_netrc_proxies_and_cookies_of_the_environment_do_not_matter(
    colour: Colour, server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    url = server.on("/", reply(headers={"Set-Cookie": "a=b"}))
    colour.send(url)
    colour.send(url)
    for seen in server.requests:
        assert seen.headers["authorization"].startswith("Bearer sk-planted")
        assert "cookie" not in seen.headers


@pytest.mark.parametrize("setting", ["url", "env"])
def test_proxy(colour: Colour, server: FaultServer, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    address = server.url.replace("http://", "http://user:pa%40ss@")
    monkeypatch.setenv("HTTP_PROXY", address)
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.setenv("NO_PROXY", "not.example")
    made = colour.another(proxy="env" if setting == "env" else address)
    server.on("http://vendor.example/v1", reply(b"by proxy"))
    assert made.send("http://vendor.example/v1").body == b"by proxy"
    assert server.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYUBzcw=="
    assert "pa@ss" not in repr(vars(made.runtime))
    assert "pa%40ss" not in repr(vars(made.runtime))
    made.close()


def test_gzip_bomb(colour: Colour, server: FaultServer) -> None:
    bomb = gzip.compress(bytes(80 * 1024 * 1024))
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))}
    with pytest.raises(ResponseTooLarge):
        colour.send(server.on("/", raw(head(200, headers) + bomb, "hang")))
    assert server.closed_at(within=1.0)


def test_nested_encodings(colour: Colour, server: FaultServer) -> None:
    with pytest.raises(InvalidResponseError, match="content-encoding"):
        colour.send(server.on("/", reply(headers={"Content-Encoding": ", ".join(["gzip"] * 5)})))


@pytest.mark.parametrize(
    "headers", [b"X-%d: y\r\n" * 20_000, b"X-Long: %b\r\n" % (b"y" * 100_000), b"A: %b\r\n" % (b"y" * 999) * 80]
)
def test_too_many_headers(colour: Colour, server: FaultServer, headers: bytes) -> None:
    if b"%d" in headers:
        headers = b"".join(b"X-%d: y\r\n" % n for n in range(20_000))
    with pytest.raises(ResponseTooLarge):
        colour.send(server.on("/", raw(b"HTTP/1.1 200 OK\r\n" + headers + b"Content-Length: 0\r\n\r\n", "hang")))
    assert server.closed_at(within=1.0)


def test_endless_body(colour: Colour, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    module = __import__(f"llmkit.transports.{'blocking' if colour.name == 'sync' else 'aio'}", fromlist=["x"])
    monkeypatch.setattr(module, "MOST_BODY", 2_000_000)

    def pour(wire) -> None:
        wire.send(head(200, {"Transfer-Encoding": "chunked"}))
        while True:
            wire.send(chunk(bytes(50_000)))

    with pytest.raises(ResponseTooLarge):
        colour.send(server.on("/", pour))
    assert server.closed_at(within=1.0)


CUT = [
    (fin(), "before the head"),
    (reset(), "before the head"),
    (raw(b"HTTP/1.1 200 OK\r\nContent-Le"), "in the head"),
    (raw(b"HTTP/1.1 200 OK\r\nContent-Le", "reset"), "in the head"),
    (raw(b"rubbish that is no HTTP at all\r\n\r\n"), "no HTTP"),
    (raw(head(200, {"Content-Length": "100"}) + b"half"), "in the body"),
    (raw(head(200, {"Content-Length": "100"}) + b"half", "reset"), "in the body"),
    (raw(head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"half")), "in the chunks"),
    (raw(head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"half"), "reset"), "in the chunks"),
    (raw(head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\nhalf\r\n"), "bad chunk"),
    (raw(head(200, {"Transfer-Encoding": "chunked"}) + b"1" * 600_000), "long chunk size"),
]


@pytest.mark.parametrize("number", range(len(CUT)))
def test_cut_replies(colour: Colour, server: FaultServer, number: int) -> None:
    """On a fresh connection there is no retry, and the request may have been served."""
    with pytest.raises(NetworkError) as caught:
        colour.send(server.on("/", CUT[number][0]))
    assert type(caught.value) is NetworkError
    assert caught.value.ambiguous
    assert server.count() == 1


def test_cut_stream(colour: Colour, server: FaultServer) -> None:
    body = colour.open(server.on("/", raw(head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"half"), "fin")))
    assert colour.read(body) == b"half"
    with pytest.raises(NetworkError):
        colour.read(body)
    colour.run(body.aclose())
    colour.run(body.aclose())


def test_cut_gzip(colour: Colour, server: FaultServer) -> None:
    with pytest.raises(InvalidResponseError, match="cut short"):
        colour.send(server.on("/", reply(gzip.compress(b"hello" * 99)[:-9], headers={"Content-Encoding": "gzip"})))


def test_bytes_come_as_they_arrive(colour: Colour, server: FaultServer) -> None:
    pieces = [head(200, {"Transfer-Encoding": "chunked"}), chunk(b"one"), chunk(b"two"), b"0\r\n\r\n"]
    body = colour.open(server.on("/", trickle(pieces, 0.1)))
    assert [colour.read(body) for _ in range(4)] == [b"one", b"two", b"", b""]
    colour.run(body.aclose())


@pytest.mark.parametrize("last", [fin(), reset()])
def test_a_stale_connection_costs_one_free_retry(colour: Colour, server: FaultServer, last) -> None:
    url = server.on("/", reply(b"1"), last, reply(b"2"))
    assert colour.send(url).body == b"1"
    assert colour.send(url).body == b"2"
    assert (server.count(), server.connections) == (3, 2)


def test_the_free_retry_is_one(colour: Colour, server: FaultServer) -> None:
    url = server.on("/", reply(b"1"), fin())
    colour.send(url)
    with pytest.raises(NetworkError):
        colour.send(url)
    assert server.count() == 3


def test_no_free_retry_after_the_first_byte(colour: Colour, server: FaultServer) -> None:
    url = server.on("/", reply(b"1"), raw(b"HTTP/1.1 200 OK\r\nX"))
    colour.send(url)
    with pytest.raises(NetworkError):
        colour.send(url)
    assert server.count() == 2


@pytest.mark.parametrize("url", ["ftp://example.org/", "nothing", "http://", "http://127.0.0.1:99999/"])
def test_unusable_urls(colour: Colour, url: str) -> None:
    from llmkit.errors import InvalidRequestError

    with pytest.raises(InvalidRequestError):
        colour.send(url)


def test_refused_and_unknown_hosts(colour: Colour) -> None:
    for url in ("http://127.0.0.1:1/", "http://no-such-host.invalid/"):
        with pytest.raises(NetworkError) as caught:
            colour.send(url)
        assert not caught.value.ambiguous
        assert type(caught.value) is NetworkError


def test_warm_up(colour: Colour, server: FaultServer) -> None:
    url = server.on("/v1", reply())
    colour.run(colour.runtime.warm_up([url, server.url + "/v2", "http://127.0.0.1:1/", "nothing"]))
    colour.send(url)
    assert server.connections == 1
