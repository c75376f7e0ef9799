"""Runs one engine as a child process: apart from the terminal, watched, stopped in order."""

import asyncio
import fcntl
import os
import pwd
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO

from parley_cli.engines.child_log import ChildLog
from parley_cli.engines.failure import EngineFailed

TIED_CHILD = Path(__file__).with_name("tied_child.py")
# No secret of Parley's, and no setting meant for another PostgreSQL or Java.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
# Java reads file names by it. Every Linux has the one, every macOS the other.
LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"

PATIENCE = 10.0  # Seconds.


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
            raise EngineFailed(f"{self.name} was not started.")
        return self._process.pid

    async def start(
        self, command: Sequence[str], folder: Path, user: pwd.struct_passwd | None = None
    ) -> None:
        """Start the command in the folder; as another user when `user` is given."""
        owner = f"{user.pw_uid}:{user.pw_gid}" if user else ""
        tie = [str(TIED_CHILD), str(os.getpid()), str(int(self._ask)), owner]
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open_for_run() as log, self._lock_file.open("a+") as lock:
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
                env=environment | {"LC_ALL": LOCALE},
            )
            lock.truncate(0)
            lock.write(str(self.pid))

    async def wait_ready(self, probe: Callable[[], Awaitable[bool]], timeout: float) -> None:
        """Return once the probe answers True; EngineFailed when the child dies or time runs out."""
        deadline = asyncio.get_running_loop().time() + timeout
        ready = False
        while not ready:
            ready = await probe()
            # Asked after the probe: on its port another server may have answered.
            if self._process is None or self._process.returncode is not None:
                raise EngineFailed(
                    f"{self.name} ended while starting: {self.log.most_telling_line()}"
                )
            if not ready and asyncio.get_running_loop().time() > deadline:
                raise EngineFailed(
                    f"{self.name} was not ready within {timeout:.0f} s: "
                    f"{self.log.most_telling_line()}"
                )
            await asyncio.sleep(0.05)

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
            os.killpg(process.pid, signal.SIGKILL)
            return await process.wait()

    async def wait(self) -> int:
        """The exit code, once the child has ended."""
        return await self._process.wait() if self._process else 0

    async def _take(self, lock: IO[str]) -> None:
        """Wait for the child of an earlier run, which may still be ending."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not _locked(lock):
            if asyncio.get_running_loop().time() > deadline:
                raise EngineFailed(
                    f"{self.name} already runs on {self._data}, as process "
                    f"{self._lock_file.read_text()}: end it or choose another data folder."
                )
            await asyncio.sleep(0.05)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
