"""How hypothesis works here: without a clock, since a slow example on a busy machine is no failure, and in CI with the same
examples every time. Everywhere else it searches further with each run, and what it finds is mended."""

from __future__ import annotations

import os
from importlib.util import find_spec

if find_spec("hypothesis"):  # the tests of the built package are run without it
    from hypothesis import settings

    settings.register_profile("llmkit", deadline=None, derandomize=bool(os.environ.get("CI")))
    settings.load_profile("llmkit")
