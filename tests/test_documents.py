"""Links between the documents lead somewhere, and their commands work with old tools."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
        *(path for folder in ("benchmarks", "cli") for path in ROOT.glob(f"{folder}/*.md")),
        *(path for folder in ("libs", "services") for path in ROOT.glob(f"{folder}/*/*.md")),
    ]
)

_CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_of_a_document_has_a_target(document: Path) -> None:
    assert [link for link in _relative_links(document) if not _has_target(document, link)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_request_of_a_document_needs_a_curl_newer_than_7_68(document: Path) -> None:
    blocks = "".join(_CODE_BLOCK.findall(document.read_text()))
    requests = [line for line in blocks.splitlines() if re.search(r"\b(curl|api) ", line)]
    # Options that curl got later: 7.82, 7.75, 7.76, 7.87 and 7.83.
    new = r"--json|--fail-with-body|--url-query|--aws-sigv4|--no-clobber|--remove-on-error"
    assert [line for line in requests if re.search(new, line)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_document_has_the_marks_of_an_unfinished_merge(document: Path) -> None:
    marks = re.findall(r"^(?:<{7} .*|={7}|>{7} .*)$", document.read_text(), re.MULTILINE)
    assert marks == []


def _relative_links(document: Path) -> list[str]:
    links = _LINK.findall(_CODE_BLOCK.sub("", document.read_text()))
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def _has_target(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path) if path else document
    if not target.exists():
        return False
    return not anchor or anchor in _anchors(target)


def _anchors(document: Path) -> set[str]:
    """The ids that renderers give headings: lower case, without punctuation, with hyphens."""
    headings = _HEADING.findall(_CODE_BLOCK.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
