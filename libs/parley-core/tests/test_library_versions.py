"""Modules that use private APIs of libraries name the version whose source they were written for.

After an upgrade: read the library's changes to the names that the module uses, run its tests, then
raise its SUPPORTED_VERSION and the pin in constraints.txt.
"""

from importlib.metadata import version
from pathlib import Path

import pytest

from parley_core.http import uvicorn_internals
from parley_core.log import aiokafka_internals

SUPPORTED = {
    "aiokafka": aiokafka_internals.SUPPORTED_VERSION,
    "uvicorn": uvicorn_internals.SUPPORTED_VERSION,
}
CONSTRAINTS = Path(__file__).parents[3] / "constraints.txt"


@pytest.mark.parametrize("library", SUPPORTED)
def test_installed_version_is_the_one_whose_private_api_is_used(library: str) -> None:
    assert version(library) == SUPPORTED[library]


@pytest.mark.parametrize("library", SUPPORTED)
def test_constraints_pin_the_version_whose_private_api_is_used(library: str) -> None:
    assert f"{library}=={SUPPORTED[library]}" in CONSTRAINTS.read_text().splitlines()
