"""Runs a program as a child process: apart from the terminal, watched, stopped in order."""

import asyncio
import contextlib
import fcntl
import os
import pwd
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from parley_cli.engines.errors import EngineError
from parley_cli.engines.process.child_log import ChildLog

TIED_CHILD = Path(__file__).with_name("exec_with_parent_death_signal.py")
# No secret of Parley's, and no setting meant for another PostgreSQL or Java.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
# Java reads file names by it. Every Linux has the one, every macOS the other.
LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"

PATIENCE = 10.0  # Seconds.
POLL_SECONDS = 0.05


class ChildProcess:
    """One child process of a data folder, with its log file; the signal `ask` ends it."""

    def __init__(self, name: str, data: Path, ask: signal.Signals = signal.SIGTERM) -> None:
        self.name = name
        self.log = ChildLog(data / "logs" / f"{name}.log")
        self._data = data
        self._lock_file = data / "locks" / name
        self._ask = ask
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EngineError(f"{self.name} was not started.")
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def wait_for_earlier(self) -> None:
        """Return once nothing of an earlier run is left, which may still hold the port."""
        with self._opened_lock() as lock:
            await self._take(lock)

    async def start(
        self,
        command: Sequence[str],
        folder: Path,
        user: pwd.struct_passwd | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command in the folder; as another user when `user` is given.

        The child's environment is `environment` and what every program needs, nothing else.
        """
        owner = f"{user.pw_uid}:{user.pw_gid}" if user else ""
        tie = [str(TIED_CHILD), str(os.getpid()), str(int(self._ask)), owner]
        with self.log.open_for_run() as log, self._opened_lock() as lock:
            await self._take(lock)
            self._process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-I", "-S", *tie, *command],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The lock is the child's from here on: the system frees it when the child and
                # all that it started are gone, however they ended.
                pass_fds=[lock.fileno()],
                # A session of its own: a terminal's Ctrl-C must reach the parent only.
                start_new_session=True,
                cwd=folder,
                env=inherited(INHERITED) | {"LC_ALL": LOCALE} | dict(environment or {}),
            )
            lock.truncate(0)
            lock.write(str(self.pid))

    async def wait_ready(self, probe: Callable[[], Awaitable[bool]], timeout: float) -> None:
        """Return once the probe answers True; EngineError when the child dies or time runs out."""
        deadline = asyncio.get_running_loop().time() + timeout
        ready = False
        while not ready:
            ready = await probe()
            # Asked after the probe: on its port another server may have answered.
            if not self.runs:
                raise EngineError(
                    f"{self.name} ended while starting: {self.log.most_telling_line()}"
                )
            if not ready and asyncio.get_running_loop().time() > deadline:
                raise EngineError(
                    f"{self.name} was not ready within {timeout:.0f} s: "
                    f"{self.log.most_telling_line()}"
                )
            if not ready:
                await asyncio.sleep(POLL_SECONDS)

    async def stop(self, limit: float = 8) -> int | None:
        """Ask the child to end, kill it after `limit` seconds; its exit code, if it ever began."""
        process = self._process
        if process is None:
            return None
        if process.returncode is not None:
            return process.returncode
        process.send_signal(self._ask)
        try:
            return await asyncio.wait_for(process.wait(), limit)
        except TimeoutError:
            self.kill()
            return await process.wait()

    def kill(self) -> None:
        """End the child and all that it started at once."""
        if self._process is not None and self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """The exit code, once the child has ended; below 0 it is the signal that ended it."""
        return await self._process.wait() if self._process else 0

    def _opened_lock(self) -> IO[str]:
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        return self._lock_file.open("a+")

    async def _take(self, lock: IO[str]) -> None:
        """Wait for the child of an earlier run, which may still be ending."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not locked(lock):
            if asyncio.get_running_loop().time() > deadline:
                raise EngineError(
                    f"{self.name} already runs on {self._data}, as process "
                    f"{self._lock_file.read_text()}: end it or choose another data folder."
                )
            await asyncio.sleep(POLL_SECONDS)


def inherited(names: Sequence[str]) -> dict[str, str]:
    """Those of this process's environment variables that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def locked(file: IO[str]) -> bool:
    """Take the file's lock unless another process has it; the system frees it with the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
