"""``python -m llmkit.cli``: the ``llmkit`` program."""

from __future__ import annotations

from llmkit.cli import main

if __name__ == "__main__":
    main()
