"""The import-linter contracts hold, and a planted violation is reported."""

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
    """A copy of the sources and of pyproject.toml."""
    for sources in [ROOT / "cli/src", *ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src")]:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(sources, tmp_path / sources.relative_to(ROOT), ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_an_import_of_another_service_is_reported(tree: Path) -> None:
    module = tree / "services/session/src/parley_session/relay/relay.py"
    module.write_text(module.read_text() + "\nimport parley_history  # noqa\n")
    checked = _lint(tree)
    assert checked.returncode != 0
    assert "No service imports another BROKEN" in checked.stdout
    assert "parley_session is not allowed to import parley_history" in checked.stdout
    assert "1 broken" in checked.stdout


def test_the_sources_violate_no_contract(tree: Path) -> None:
    checked = _lint(tree)
    assert checked.returncode == 0, checked.stdout
    assert "0 broken" in checked.stdout


def _lint(tree: Path) -> subprocess.CompletedProcess[str]:
    # The copy takes precedence over the installed packages.
    sources = [str(path) for path in tree.glob("**/src")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sources)}
    command = [str(LINTER), "--no-cache"]
    return subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
