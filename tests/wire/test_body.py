"""Taking compression off: cut anywhere, cut short, bombs, and what was not offered."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import InvalidResponseError, ResponseTooLarge
from llmkit.wire.body import BodyDecoder

PLAIN = "data: héllo 🌍\n\n".encode() * 50


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": gzip.compress(PLAIN),
    "x-gzip": gzip.compress(PLAIN),
    "GZIP ": gzip.compress(PLAIN),
    "deflate": zlib.compress(PLAIN),
    "identity": PLAIN,
    "": PLAIN,
}


def read(encoding: str, body: bytes, size: int | None = None, most: int = 10**6) -> bytes:
    decoder = BodyDecoder({"content-encoding": encoding} if encoding else {}, most)
    out = b"".join(
        decoder.feed(body[start : start + (size or len(body))]) for start in range(0, len(body), size or len(body) or 1)
    )
    decoder.finish()
    return out


@pytest.mark.parametrize("size", [1, 2, 3, 100, None])
@pytest.mark.parametrize("encoding", list(PACKED))
def test_every_encoding_in_pieces_of_any_size(encoding: str, size: int | None) -> None:
    assert read(encoding, PACKED[encoding], size) == PLAIN


@pytest.mark.parametrize("size", [1, 2, 3, None])
def test_deflate_without_its_zlib_header(size: int | None) -> None:
    assert read("deflate", raw_deflate(PLAIN), size) == PLAIN


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from(["gzip", "deflate", "raw"]))
def test_any_bytes_come_back(data: bytes, size: int, kind: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": raw_deflate}[kind]
    assert read("gzip" if kind == "gzip" else "deflate", pack(data), size) == data


@pytest.mark.parametrize("size", [1, None])
def test_several_gzip_members_are_one_body_and_padding_after_them_is_none(size: int | None) -> None:
    body = gzip.compress(b"one ") + gzip.compress(b"two")
    assert read("gzip", body, size) == b"one two"
    assert read("gzip", body + b"\0\0\0", size) == b"one two"
    assert read("deflate", zlib.compress(b"one") + b"rest", size) == b"one"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [1, None])
def test_a_body_cut_short_anywhere_is_an_error(encoding: str, size: int | None) -> None:
    body = PACKED[encoding]
    for end in range(1, len(body)):
        with pytest.raises(InvalidResponseError):
            read(encoding, body[:end], size)


def test_raw_deflate_cut_short_is_an_error() -> None:
    body = raw_deflate(PLAIN)
    for end in range(1, len(body)):
        with pytest.raises(InvalidResponseError):
            read("deflate", body[:end])


def test_a_cut_second_member_is_an_error() -> None:
    body = gzip.compress(b"one") + gzip.compress(b"two")
    with pytest.raises(InvalidResponseError):
        read("gzip", body[:-3])


def test_an_empty_body_is_empty_whatever_its_encoding_says() -> None:
    assert [read(encoding, b"") for encoding in PACKED] == [b""] * len(PACKED)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_rubbish_is_an_error_that_drags_no_chain_along(encoding: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        read(encoding, b"<html>not compressed at all</html>")
    assert caught.value.__context__ is None
    broken = bytearray(PACKED[encoding])
    broken[len(broken) // 2] ^= 0xFF
    with pytest.raises(InvalidResponseError):
        read(encoding, bytes(broken))


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "identity, gzip", "x" * 500])
def test_encodings_that_were_not_offered_or_are_nested_are_refused(encoding: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        BodyDecoder({"content-encoding": encoding}, 10)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_quickly(encoding: str) -> None:
    bomb = zlib.compress(b"\0" * 200_000_000, 1) if encoding == "deflate" else gzip.compress(b"\0" * 200_000_000, 1)
    began = time.perf_counter()
    with pytest.raises(ResponseTooLarge):
        read(encoding, bomb, most=8_000_000)
    assert time.perf_counter() - began < 1


def test_the_cap_counts_plain_bytes_over_all_pieces_and_content_length() -> None:
    assert read("", b"x" * 100, 10, most=100) == b"x" * 100
    assert read("gzip", gzip.compress(b"x" * 100), 10, most=100) == b"x" * 100
    for encoding, body in (("", b"x" * 101), ("gzip", gzip.compress(b"x" * 101))):
        with pytest.raises(ResponseTooLarge):
            read(encoding, body, 10, most=100)
    with pytest.raises(ResponseTooLarge):
        BodyDecoder({"content-length": "101"}, 100)
    for odd in ("-1", "1e9", "٣", "9" * 30, ""):
        BodyDecoder({"content-length": odd}, 100)
