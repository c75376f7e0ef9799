"""The walls between the services hold: a planted import of one by another is found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources, with the settings of the tools."""
    for sources in [ROOT / "cli/src", *ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src")]:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(sources, tmp_path / sources.relative_to(ROOT), ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_a_service_that_imports_another_is_found(tree: Path) -> None:
    planted = tree / "services/session/src/parley_session/relay/relay.py"
    planted.write_text(planted.read_text() + "\nimport parley_history  # noqa\n")
    checked = _lint(tree)
    assert checked.returncode != 0
    assert "No service imports another BROKEN" in checked.stdout
    assert "parley_session is not allowed to import parley_history" in checked.stdout
    assert "1 broken" in checked.stdout


def test_without_a_planted_import_every_wall_holds(tree: Path) -> None:
    checked = _lint(tree)
    assert checked.returncode == 0, checked.stdout
    assert "0 broken" in checked.stdout


def _lint(tree: Path) -> subprocess.CompletedProcess[str]:
    # Before what is installed, so that the copy is what is looked at.
    sources = [str(path) for path in tree.glob("**/src")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sources)}
    command = [str(LINTER), "--no-cache"]
    return subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
