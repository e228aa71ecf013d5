"""The installed llmkit on one more interpreter: every module imports, a first call and a first stream work in both colours.

``LLMKIT_INSTALLED`` names the folder that llmkit must have been imported from (tox sets it).
"""

from __future__ import annotations

import asyncio
import os
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import llmkit
import llmkit_providers
from llmkit.simulator import Simulator

MODULES = [
    name
    for package in (llmkit, llmkit_providers)
    for _, name, _ in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    if not name.endswith(".__main__")
]
VENDORS = sorted(point.name for point in entry_points(group="llmkit.simulators"))


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Simulated vendors."""
    with Simulator() as simulator:
        yield simulator


def instance(simulator: Simulator, vendor: str) -> llmkit.Instance:
    """An instance at a simulated vendor."""
    return llmkit.Instance(vendor, "some-model", api_key="k1", base_url=simulator.base_url(vendor))


def test_it_is_the_installed_one():
    """Nothing of a checkout stands in front of the installed packages."""
    expected = os.environ.get("LLMKIT_INSTALLED")
    if expected is None:
        pytest.skip("LLMKIT_INSTALLED names no folder (tox sets it)")

    for package in (llmkit, llmkit_providers):
        assert Path(expected).resolve() in Path(str(package.__file__)).resolve().parents


@pytest.mark.parametrize("name", MODULES)
def test_module_imports(name: str):
    """Each module imports without a warning."""
    assert import_module(name).__name__ == name


def test_there_are_modules_and_vendors():
    """The two lists above are not empty by mistake."""
    assert len(MODULES) > 40
    assert len(VENDORS) >= 3


@pytest.mark.parametrize("vendor", VENDORS)
def test_sync(simulator: Simulator, vendor: str):
    """An answer and a stream."""
    with llmkit.Client([instance(simulator, vendor)]) as client:
        assert client.generate("one two three").text == "one two three"
        with client.stream("one two three") as stream:
            assert "".join(event.text for event in stream) == "one two three"


@pytest.mark.parametrize("vendor", VENDORS)
def test_async(simulator: Simulator, vendor: str):
    """An answer and a stream."""

    async def main() -> None:
        async with llmkit.AsyncClient([instance(simulator, vendor)]) as client:
            assert (await client.generate("one two three")).text == "one two three"
            async with client.stream("one two three") as stream:
                assert "".join([event.text async for event in stream]) == "one two three"

    asyncio.run(main())
