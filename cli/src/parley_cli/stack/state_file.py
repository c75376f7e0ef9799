"""What runs on a data folder: `stack.json`, which `parley up` writes and `parley status` reads."""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from parley_cli.engines import EngineError
from parley_cli.engines.process.child_process import locked


class RunningProcess(msgspec.Struct, frozen=True):
    """`pid` is null for an engine that runs elsewhere; `address` is host:port."""

    name: str
    pid: int | None
    address: str


class RunningStack(msgspec.Struct, frozen=True):
    url: str
    processes: list[RunningProcess]


class StackLock:
    """Held by the one `parley up` of a data folder; the system frees it however that ended."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._path = data / "locks" / "up"

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+")
        if not self._taken():
            holder = self._path.read_text()
            self._file.close()
            raise EngineError(
                f"`parley up` already runs on {self._data}, as process {holder}: end it, or set "
                "PARLEY_DATA to another folder."
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()

    def _taken(self) -> bool:
        if locked(self._file):
            return True
        # `parley status` has it for a moment when it asks who does.
        time.sleep(0.1)
        return locked(self._file)

    def is_held(self) -> bool:
        """Whether a `parley up` runs on the data folder now."""
        if not self._path.exists():
            return False
        with self._path.open("a+") as file:
            return not locked(file)


def write_stack(data: Path, stack: RunningStack) -> None:
    unfinished = data / "stack.json.new"
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(stack)))
    unfinished.rename(data / "stack.json")


def remove_stack(data: Path) -> None:
    (data / "stack.json").unlink(missing_ok=True)


def read_stack(data: Path) -> RunningStack | None:
    """The stack that runs now; None when none does, whatever an earlier one left behind."""
    try:
        if not StackLock(data).is_held():
            return None
        return msgspec.json.decode((data / "stack.json").read_bytes(), type=RunningStack)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def gateway_url(data: Path, port: int) -> str:
    """Of the stack that runs now, or of one that runs at that port of this machine."""
    running = read_stack(data)
    return running.url if running else f"http://127.0.0.1:{port}"
