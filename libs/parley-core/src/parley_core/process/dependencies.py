"""What a process depends on, as far as its own calls have shown: nothing is probed."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any


class Dependency:
    """A service or engine; `up` is None until the first call."""

    def __init__(self, name: str, clock: Callable[[], datetime]) -> None:
        self.name = name
        self.up: bool | None = None
        self._clock, self._since = clock, clock()

    def report(self, up: bool) -> None:
        """Record whether the last call was answered, with an error or not."""
        if up is not self.up:
            self.up, self._since = up, self._clock()

    def to_json(self) -> Mapping[str, Any]:
        status = {True: "ok", False: "unavailable", None: "unknown"}[self.up]
        return {"status": status, "since": self._since.isoformat(timespec="seconds")}


class Dependencies:
    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._by_name: dict[str, Dependency] = {}

    def __getitem__(self, name: str) -> Dependency:
        """The dependency of that name, which is created at its first use."""
        if name not in self._by_name:
            self._by_name[name] = Dependency(name, self._clock)
        return self._by_name[name]

    def __iter__(self) -> Iterator[Dependency]:
        return iter(self._by_name.values())
