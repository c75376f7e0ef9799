"""Child processes: detached from the terminal, locked to one data folder, stopped by a signal."""

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

EXEC_SCRIPT = Path(__file__).with_name("exec_with_parent_death_signal.py")
# No secret of Parley, and no setting meant for another PostgreSQL or Java.
INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
# Java decodes file names with it. Every Linux has the one, every macOS the other.
LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"

PREVIOUS_RUN_TIMEOUT_SECONDS = 10.0
POLL_INTERVAL_SECONDS = 0.05


class ChildProcess:
    """A child process of a data folder, with its log file; `stop_signal` asks it to end."""

    def __init__(self, name: str, data: Path, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        self.name = name
        self.log = ChildLog(data / "logs" / f"{name}.log")
        self._data = data
        self._lock_file = data / "locks" / name
        self._stop_signal = stop_signal
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EngineError(f"{self.name} was not started.")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def wait_for_previous_run(self) -> None:
        """Wait until every process of a previous run, which may hold the port, has ended."""
        with self._open_lock() as lock:
            await self._acquire(lock)

    async def start(
        self,
        command: Sequence[str],
        folder: Path,
        user: pwd.struct_passwd | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command in the folder, as `user` if one is given.

        The child's environment is `environment` and the variables that every program needs,
        nothing else.
        """
        with self.log.open_for_run() as log, self._open_lock() as lock:
            await self._acquire(lock)
            self._process = await asyncio.create_subprocess_exec(
                *tied_to_parent(command, self._stop_signal, user),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The child inherits the lock: the system releases it when the child and all its
                # descendants have ended, however they ended.
                pass_fds=[lock.fileno()],
                # In a session of its own, so that a terminal's Ctrl-C reaches only the parent.
                start_new_session=True,
                cwd=folder,
                env=inherited_environment(INHERITED_VARIABLES)
                | {"LC_ALL": LOCALE}
                | dict(environment or {}),
            )
            lock.truncate(0)
            lock.write(str(self.pid))

    async def wait_ready(self, probe: Callable[[], Awaitable[bool]], timeout: float) -> None:
        """Poll the probe until it is true; EngineError if the child ends or after `timeout`."""
        deadline = asyncio.get_running_loop().time() + timeout
        ready = False
        while not ready:
            ready = await probe()
            # Checked after the probe, which another server on the port may have answered.
            if not self.is_running:
                raise EngineError(f"{self.name} ended while starting: {self.log.explanation()}")
            if not ready and asyncio.get_running_loop().time() > deadline:
                raise EngineError(
                    f"{self.name} was not ready within {timeout:.0f} s: {self.log.explanation()}"
                )
            if not ready:
                await asyncio.sleep(POLL_INTERVAL_SECONDS)

    async def stop(self, timeout: float = 8) -> int | None:
        """Ask the child to end, kill it after `timeout`; return the exit code, if it ever ran."""
        process = self._process
        if process is None:
            return None
        if process.returncode is not None:
            return process.returncode
        process.send_signal(self._stop_signal)
        try:
            return await asyncio.wait_for(process.wait(), timeout)
        except TimeoutError:
            self.kill()
            return await process.wait()

    def kill(self) -> None:
        """Kill the child and its descendants."""
        if self._process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the child to end; the exit code, negative for the signal that ended it."""
        return await self._process.wait() if self._process else 0

    def _open_lock(self) -> IO[str]:
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        return self._lock_file.open("a+")

    async def _acquire(self, lock: IO[str]) -> None:
        """Acquire the lock; the child of a previous run may still be ending."""
        deadline = asyncio.get_running_loop().time() + PREVIOUS_RUN_TIMEOUT_SECONDS
        while not try_lock(lock):
            if asyncio.get_running_loop().time() > deadline:
                raise EngineError(
                    f"{self.name} already runs on {self._data} as process "
                    f"{self._lock_file.read_text()}: stop it, or choose another data folder."
                )
            await asyncio.sleep(POLL_INTERVAL_SECONDS)


def tied_to_parent(
    command: Sequence[str], stop_signal: signal.Signals, user: pwd.struct_passwd | None = None
) -> list[str]:
    """The command, wrapped so that it runs as `user` and ends when this process does (Linux)."""
    owner = f"{user.pw_uid}:{user.pw_gid}" if user else ""
    script = [str(EXEC_SCRIPT), str(os.getpid()), str(int(stop_signal)), owner]
    return [sys.executable, "-I", "-S", *script, *command]


def inherited_environment(names: Sequence[str]) -> dict[str, str]:
    """The variables among `names` that are set in this process."""
    return {name: os.environ[name] for name in names if name in os.environ}


def try_lock(file: IO[str]) -> bool:
    """Lock the file unless another process has; the system releases the lock on close."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
