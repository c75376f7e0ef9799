"""Checks, tests and serves the chat page with the packages of `web/`, which it installs if needed.

`check` is part of `make check`: lint, types, unit tests, a build, and the size of the first load.
"""

import asyncio
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from parley_cli.errors import CommandError
from parley_cli.stack.chat_page import (
    ROOT,
    SOURCES,
    build_folder,
    build_page,
    install_packages,
    node_environment,
    node_home,
)
from parley_gateway.page.page_files import PACKAGED

BROWSER_TESTS = SOURCES / "tests"
# The static imports of the entry, scripts and styles, compressed with gzip.
MAX_FIRST_LOAD_BYTES = 180_000
# Chinese, and a sans-serif in the weights that the page uses.
FONTS = ("cvttf-notosanscjk-regular==1.0", "font-roboto==0.0.1")


def main(arguments: list[str]) -> int:
    commands: dict[str, Callable[[], None]] = {
        "check": check,
        "dev": serve,
        "format": reformat,
        "package": package,
        "test": lambda: test(arguments[1:]),
    }
    try:
        commands[arguments[0]]()
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def check() -> None:
    _install(SOURCES)
    _install(BROWSER_TESTS)
    _run("@biomejs/biome/bin/biome", "ci", ".")
    _generate_types()
    _run("typescript/bin/tsc", "--noEmit")
    _run("typescript/bin/tsc", "--noEmit", "-p", "tests")
    _run("vitest/vitest.mjs", "run", "--dir", "src", "--reporter=dot", "--testTimeout=60000")
    _check_first_load()


def reformat() -> None:
    _install(SOURCES)
    _run("@biomejs/biome/bin/biome", "check", "--write", ".")
    _generate_types()


def serve() -> None:
    _install(SOURCES)
    _run("vite/bin/vite.js")


def package() -> None:
    """Build the page into the gateway's package, for its wheel."""
    shutil.copytree(_built_page(), PACKAGED, dirs_exist_ok=True)


def test(arguments: list[str]) -> None:
    """Run the browser tests; the arguments go to Vitest, such as the name of a file."""
    _install(SOURCES)
    _install(BROWSER_TESTS)
    environment = {
        "PARLEY_GATEWAY_PAGE_PATH": str(_built_page()),
        "PARLEY_TEST_PYTHON": sys.executable,
        "PARLEY_TEST_FONTS": str(_fonts()),
    }
    _run("vitest/vitest.mjs", "run", *arguments, folder=BROWSER_TESTS, environment=environment)


def _built_page() -> Path:
    page = build_folder()
    assert page is not None
    asyncio.run(build_page(page, print))
    return page


def _install(folder: Path) -> None:
    asyncio.run(install_packages(folder))


def _generate_types() -> None:
    _run(
        "openapi-typescript/bin/cli.js",
        "openapi.json",
        "--output=src/api/schema.d.ts",
        "--default-non-nullable=false",
        quiet=True,
    )


def _check_first_load() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _run("vite/bin/vite.js", "build", "--outDir", folder, "--emptyOutDir", "--logLevel=warn")
        manifest = json.loads((Path(folder) / ".vite" / "manifest.json").read_text())
        files: set[str] = set()
        pending = ["index.html"]
        while pending:
            chunk = manifest[pending.pop()]
            files |= {chunk["file"], *chunk.get("css", ())}
            pending += chunk.get("imports", ())
        size = sum(len(gzip.compress((Path(folder) / file).read_bytes(), 9)) for file in files)
    print(f"First load of the chat page: {size:,} of {MAX_FIRST_LOAD_BYTES:,} bytes, compressed.")
    if size > MAX_FIRST_LOAD_BYTES:
        raise CommandError("The first load of the chat page is too large: load less at the start.")


def _fonts() -> Path:
    """Fonts for a machine that has none; without them, Chinese is drawn as boxes."""
    folder = ROOT / ".parley" / "cache" / "+".join(FONTS)
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--target", str(folder), *FONTS], check=True)
    return folder


def _run(
    script: str,
    *arguments: str,
    folder: Path = SOURCES,
    quiet: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    command = [str(node_home() / "bin" / "node"), str(folder / "node_modules" / script)]
    subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**node_environment(), **environment},
        stdout=subprocess.DEVNULL if quiet else None,
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
