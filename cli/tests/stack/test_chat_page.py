"""Build of the chat page: once for each state of the sources, and its failures."""

from pathlib import Path

import pytest

from parley_cli.stack import chat_page
from parley_cli.stack.chat_page import PageNotBuilt, build_folder, build_page

# Stands for Node: `npm ci` makes the folder of packages, `vite build` writes the page.
NODE = """\
#!/bin/sh
echo "$@" >> "$PWD/calls"
case "$*" in
  *npm-cli.js*) mkdir -p node_modules ;;
  *) echo page > "$4/index.html" ;;
esac
"""
UNREACHABLE = "#!/bin/sh\necho 'npm error code ENOTFOUND'\nexit 1\n"
BROKEN = "#!/bin/sh\necho 'src/main.tsx: unexpected token'\nexit 1\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sources = tmp_path / "web"
    (sources / "src").mkdir(parents=True)
    for name in ("package.json", "package-lock.json", "src/main.tsx"):
        (sources / name).write_text("{}")
    monkeypatch.setattr(chat_page, "SOURCES", sources)
    monkeypatch.setattr(chat_page, "BUILDS", tmp_path / "builds")
    monkeypatch.setattr(chat_page, "node_home", lambda: tmp_path / "node")
    install_node(tmp_path, NODE)
    return sources


def install_node(folder: Path, script: str) -> None:
    node = folder / "node" / "bin" / "node"
    node.parent.mkdir(parents=True, exist_ok=True)
    node.write_text(script)
    node.chmod(0o755)


def calls(sources: Path) -> int:
    return len((sources / "calls").read_text().splitlines())


def current_build_folder() -> Path:
    folder = build_folder()
    assert folder is not None
    return folder


async def test_the_page_is_built_once_and_again_when_its_sources_change(checkout: Path) -> None:
    lines: list[str] = []
    folder = current_build_folder()
    await build_page(folder, lines.append)
    assert (folder / "index.html").read_text() == "page\n"
    assert calls(checkout) == 2  # npm, then Vite.
    await build_page(folder, lines.append)
    assert len(lines) == 1

    (checkout / "calls").unlink()
    (checkout / "src" / "main.tsx").write_text("changed")
    changed = current_build_folder()
    assert changed != folder
    await build_page(changed, lines.append)
    assert calls(checkout) == 1  # The packages did not change.


def test_tests_and_packages_do_not_change_the_build(checkout: Path) -> None:
    folder = build_folder()
    for path in ("node_modules/x/index.js", "tests/a.test.ts", "src/a.test.ts", "src/a.d.ts"):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text("x")
    assert build_folder() == folder


def test_without_a_checkout_there_is_nothing_to_build(checkout: Path) -> None:
    (checkout / "package.json").unlink()
    assert build_folder() is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [(UNREACHABLE, "registry cannot be reached"), (BROKEN, "unexpected token")],
)
async def test_a_failed_build_says_why_and_leaves_nothing(
    checkout: Path, tmp_path: Path, script: str, reason: str
) -> None:
    install_node(tmp_path, script)
    folder = current_build_folder()
    with pytest.raises(PageNotBuilt, match=reason):
        await build_page(folder, lambda _: None)
    assert [path.name for path in (tmp_path / "builds").iterdir()] == ["lock"]


async def test_an_older_build_is_served_until_the_next_one_succeeds(
    checkout: Path, tmp_path: Path
) -> None:
    built = current_build_folder()
    await build_page(built, lambda _: None)

    killed = built.parent / "unfinished-1"
    killed.mkdir()
    (checkout / "package-lock.json").write_text("{ }")
    install_node(tmp_path, UNREACHABLE)
    changed = built
    for content in ("changed", "changed again"):
        (checkout / "src" / "main.tsx").write_text(content)
        changed = current_build_folder()
        with pytest.raises(PageNotBuilt, match="older build"):
            await build_page(changed, lambda _: None)
    assert {path.name for path in built.parent.iterdir()} == {"lock", built.name, changed.name}
    assert (changed / "index.html").read_text() == "page\n"

    install_node(tmp_path, NODE)
    lines: list[str] = []
    await build_page(changed, lines.append)
    assert not changed.is_symlink()
    assert len(lines) == 1
