"""The ``llmkit`` program. This page loads neither click nor rich, so that it can say what is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

WRONG_USAGE = 2


def main() -> None:
    """The console script: run the program, exit with its code.

    Codes are those of :class:`llmkit.cli.codes.ExitCode`.
    """
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        what = f"{' and '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not installed"
        sys.stderr.write(f'error: the llmkit program needs {what}; pip install "llmkit[cli]"\n')
        sys.exit(WRONG_USAGE)
    from llmkit.cli.app import run

    sys.exit(run())
