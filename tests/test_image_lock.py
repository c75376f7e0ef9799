"""The locks of the image agree with the constraints and the packages of this repository."""

import re
from pathlib import Path

import pytest

from tools.image_lock import IMAGE, pins, service_requirements, trial_requirements

ROOT = Path(__file__).parents[1]


def test_the_locks_of_the_image_have_the_pinned_versions_of_all_its_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    constraints = {_canonical(each) for each in (ROOT / "constraints.txt").read_text().split()}
    texts = {name: (ROOT / IMAGE / f"{name}.lock").read_text() for name in ("services", "trial")}
    locked = {name: {_canonical(pin) for pin in pins(text)} for name, text in texts.items()}
    assert locked["services"] | locked["trial"] <= constraints
    names = {name: {pin.split("==")[0] for pin in found} for name, found in locked.items()}
    assert {_name(each) for each in service_requirements()} <= names["services"]
    assert {_name(each) for each in trial_requirements()} <= names["services"] | names["trial"]
    assert not any("://" in text for text in texts.values())


def _canonical(pin: str) -> str:
    return pin.lower().replace("_", "-")


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    return _canonical(match[0])
