"""Settings and log lines that documents name exist in the sources."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The changelog and the decisions also name what is gone.
DOCUMENTS = [
    path
    for folder in (".", "docs", "docs/runbooks", "deploy/k8s")
    for path in sorted((ROOT / folder).glob("*.md"))
    if path.name != "CHANGELOG.md"
]
OF_LIBRARIES = {"Failed to export spans batch"}
# Shorter ones are found anywhere.
_MIN_LENGTH = 6


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_of_a_document_exists(document: Path) -> None:
    named = set(re.findall(r"\bPARLEY_[A-Z0-9_]*[A-Z0-9]\b", document.read_text()))
    known = _known_settings()
    assert {each for each in named if not {each, each.removesuffix("_FILE")} & known} == set()


def test_every_log_line_of_troubleshooting_is_in_the_sources() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    _, _, section = page.partition("## Log lines")
    cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    lines = [line for cell in cells for line in re.findall(r"`([^`]+)`", cell)]
    assert len(lines) > 30
    texts = "\n".join(_texts())
    parts = [part.strip(" :;()") for line in lines for part in re.split(r"%|…|/(?=turns)", line)]
    missing = {part for part in parts if len(part) >= _MIN_LENGTH and part not in texts}
    assert missing == OF_LIBRARIES


@cache
def _known_settings() -> set[str]:
    files = [ROOT / "docs" / "configuration.md"]
    files += (ROOT / "web/tests/support").glob("*.ts")
    for folder in ("libs", "services", "cli", "tools", "tests"):
        files += (ROOT / folder).rglob("*.py")
    return {
        name for each in files for name in re.findall(r"\bPARLEY_[A-Z0-9_]+\b", each.read_text())
    }


def _texts() -> Iterator[str]:
    """The text constants of the services and libraries, with `%` for what is filled in."""
    for folder in ("libs", "services"):
        for file in (ROOT / folder).glob("*/src/**/*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield re.sub(r"%\w", "%", node.value)
