"""What pictures, sounds and documents cost, as far as vendors say.

- OpenAI, tiles: https://developers.openai.com/api/docs/guides/images-vision#calculating-costs (a base, and an amount for each tile
  of 512 pixels after scaling into 2048 x 2048 and the shorter side to 768; ``low`` detail is the base alone), patches: 32 pixels
  wide, at most 1,536 of them, times a factor.
- Claude: https://platform.claude.com/docs/en/build-with-claude/vision#evaluate-image-size (patches of 28 pixels; the longer side at
  most 1,568 pixels and 1,568 patches, from Claude 4.7 on 2,576 pixels and 4,784 patches).
- Gemini to 2.5: https://ai.google.dev/gemini-api/docs/tokens#multimodal-tokens (258 up to 384 pixels a side, else 258 for each tile
  of 768; 32 tokens for a second of sound; 258 for a page). Gemini from 3 on:
  https://ai.google.dev/gemini-api/docs/media-resolution#token-counts (1,120 for a picture, 560 for a page, unless asked otherwise).
- Mistral: https://mistralai.github.io/mistral-common/usage/images (patches of 14 pixels, four of them to a token, and a token to
  end each row). That the longer side is at most 1,540 comes from the published weights' settings, not confirmed by a page.

What is not at hand (a URL, a file's id) is taken for a picture of 1024 x 1024, a minute of sound, three pages.
"""

from __future__ import annotations

import struct
from math import ceil, sqrt

from llmkit.values.messages import Audio, File, Image

UNSEEN = (1024, 1024)
PAGE_TOKENS = {"gemini": 258, "gemini3": 560, "claude": 2250}
"""For a page of a PDF; Claude's is between 1,500 and 3,000: https://platform.claude.com/docs/en/build-with-claude/pdf-support"""


def image_tokens(image: Image, rule: str) -> int:
    """The tokens of a picture.

    :param rule: ``tiles BASE TILE``, ``patches FACTOR``, ``grid SIDE LONGEST``, ``claude LONGEST MOST``, ``gemini`` or ``gemini3``.
    """
    kind, *numbers = rule.split()
    size = (image.data is not None and size_of(image.data)) or UNSEEN
    width, height = max(1, size[0]), max(1, size[1])
    if kind == "claude":
        longest, most = map(int, numbers)
        shrink = min(1.0, longest / max(width, height))
        return min(most, ceil(width * shrink / 28) * ceil(height * shrink / 28))
    if kind == "gemini3":
        return 1120
    if kind == "gemini":
        return 258 if max(width, height) <= 384 else 258 * ceil(width / 768) * ceil(height / 768)
    if kind == "grid":
        side, longest = map(int, numbers)
        shrink = min(1.0, longest / max(width, height))
        return ceil(width * shrink / side) * (ceil(height * shrink / side) + 1)
    if kind == "patches":
        return ceil(_patches(width, height) * float(numbers[0]))
    base, tile = map(int, numbers)
    return base if image.detail == "low" else base + tile * _tiles(width, height)


def _tiles(width: float, height: float) -> int:
    shrink = min(1.0, 2048 / max(width, height))
    shrink *= min(1.0, 768 / (min(width, height) * shrink))
    return ceil(round(width * shrink, 6) / 512) * ceil(round(height * shrink, 6) / 512)


def _patches(width: int, height: int, most: int = 1536) -> int:
    wanted = ceil(width / 32) * ceil(height / 32)
    if wanted <= most:
        return wanted
    shrink = sqrt(32 * 32 * most / (width * height))
    across, down = width * shrink / 32, height * shrink / 32
    shrink *= min(max(1.0, int(across)) / across, max(1.0, int(down)) / down)
    return min(most, ceil(round(width * shrink / 32, 6)) * ceil(round(height * shrink / 32, 6)))


def sound_tokens(audio: Audio) -> int:
    """The tokens of a sound, 32 for a second: a WAV as one of 16 bits and 16,000 samples a second, else 16,000 bytes a second."""
    if audio.data is None:
        return 60 * 32
    return ceil(len(audio.data) / (32_000 if audio.data[:4] == b"RIFF" else 16_000) * 32)


def file_tokens(file: File, rule: str) -> int:
    """The tokens of a document that is no text: by its pages, where a PDF tells them, else 50,000 bytes for a page; vendors that
    read its text alone are taken to find a token in 20 bytes at most."""
    kind = rule.split(maxsplit=1)[0]
    page = PAGE_TOKENS.get(kind, 1000)
    if file.data is None:
        return 3 * page
    pages = file.data.count(b"/Type /Page") + file.data.count(b"/Type/Page")
    pages -= file.data.count(b"/Type /Pages") + file.data.count(b"/Type/Pages")
    tokens = page * max(1, pages or ceil(len(file.data) / 50_000))
    return tokens if kind in PAGE_TOKENS else min(tokens, ceil(len(file.data) / 20))


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, JPEG, GIF or WebP, in pixels; None for other data."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack_from(">II", data, 16)
        if data[:3] == b"GIF":
            return struct.unpack_from("<HH", data, 6)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
    except (struct.error, IndexError):
        pass
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0] if marker != 0xFF else 1
    return None
