"""State file of a running stack, `stack.json`: written by `parley up`, read by other commands."""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from parley_cli.engines import EngineError
from parley_cli.engines.process.child_process import try_lock


class RunningProcess(msgspec.Struct, frozen=True):
    """`pid` is null for an external engine; addresses are host:port.

    `management` serves probes and metrics if another address does.
    """

    name: str
    pid: int | None
    address: str
    management: str = ""


class RunningStack(msgspec.Struct, frozen=True):
    url: str
    processes: list[RunningProcess]

    @property
    def has_tls(self) -> bool:
        """Whether its services, and an embedded Kafka, speak only TLS."""
        return self.url.startswith("https:")


class StackLock:
    """Lock of the one `parley up` of a data folder; the system releases it when that ends."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._path = data / "locks" / "up"

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+")
        if not self._acquire():
            holder = self._path.read_text()
            self._file.close()
            raise EngineError(
                f"`parley up` already runs on {self._data} as process {holder}: stop it, or set "
                "PARLEY_DATA to another folder."
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def _acquire(self) -> bool:
        if try_lock(self._file):
            return True
        # `parley status` locks the file for a moment to check whether it is locked.
        time.sleep(0.1)
        return try_lock(self._file)

    def is_locked(self) -> bool:
        """Whether `parley up` runs on the data folder now."""
        if not self._path.exists():
            return False
        with self._path.open("a+") as file:
            return not try_lock(file)


def write_state_file(data: Path, stack: RunningStack) -> None:
    unfinished = data / "stack.json.new"
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(stack)))
    unfinished.rename(data / "stack.json")


def remove_state_file(data: Path) -> None:
    (data / "stack.json").unlink(missing_ok=True)


def read_running_stack(data: Path) -> RunningStack | None:
    """The stack that runs now, or None; a state file left by a killed stack is ignored."""
    try:
        if not StackLock(data).is_locked():
            return None
        return msgspec.json.decode((data / "stack.json").read_bytes(), type=RunningStack)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def gateway_url(data: Path, port: int) -> str:
    """The URL of the running stack, else of the given port on this machine."""
    running = read_running_stack(data)
    return running.url if running else f"http://127.0.0.1:{port}"
