"""Settings reloader: applies files that settings name, such as secrets and policies, when changed.

Kubernetes replaces the files of a mounted Secret or ConfigMap by swapping a symbolic link.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge

from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.runtime.settings import InvalidSettings, Settings, load, setting_fields

CHECK_INTERVAL_SECONDS = 10.0

Loaded = TypeVar("Loaded", bound=Settings)
_Signature = tuple[int, int, int] | None

log = logging.getLogger(__name__)


class SettingsReloader(Generic[Loaded]):
    """Reads the settings again when one of their files changes, and passes them to `apply`.

    When the new ones are wrong, the process keeps those that it has, and tries again until they are
    right: what is wrong may be a file that does not exist yet.
    """

    def __init__(
        self,
        settings: Loaded,
        apply: Callable[[Loaded], None],
        registry: CollectorRegistry,
        *,
        more_files: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        """`apply` raises InvalidSettings before it changes anything. `more_files` are those that
        the files themselves name.
        """
        self._settings, self._apply, self._more_files = settings, apply, more_files
        self._failed = Gauge(
            "parley_config_reload_failed",
            "1 while a changed file is wrong, so that the process uses what it had before.",
            registry=registry,
        )
        self._reloads = Counter(
            "parley_config_reloads",
            "Changes of files that settings name, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._signatures = self._read_signatures()
        self._failure: str | None = None

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            signatures = await asyncio.to_thread(self._read_signatures)
            changed = signatures != self._signatures
            if changed or self._failure is not None:
                self._reload(is_retry=not changed)

    def _reload(self, *, is_retry: bool) -> None:
        reported = self._failure if is_retry else None
        self._signatures = self._read_signatures()
        try:
            self._apply(load(type(self._settings)))
        except InvalidSettings as invalid:
            self._fail(str(invalid), reported)
        except Exception as error:
            if self._fail(f"unexpected error, {type(error).__name__}", reported):
                log_unexpected_error(log, "reload of settings", error)
        else:
            # Another file may be named now. One that changed during the load is read again.
            named = self._read_signatures()
            self._signatures = {path: self._signatures.get(path, named[path]) for path in named}
            self._failure = None
            self._failed.set(0)
            self._reloads.labels("ok").inc()
            log.info("settings reloaded from changed files")

    def _fail(self, reason: str, reported: str | None) -> bool:
        """Return whether the reason is not the `reported` one."""
        if reason == reported:
            return False
        self._failure = reason
        log.error("changed settings are not used: %s", reason)
        self._failed.set(1)
        self._reloads.labels("failed").inc()
        return True

    def _read_signatures(self) -> Mapping[Path, _Signature]:
        return {path: _signature(path) for path in self._paths()}

    def _paths(self) -> Iterator[Path]:
        yield from _files_of(self._settings)
        yield from self._more_files()


def _files_of(settings: Settings) -> Iterator[Path]:
    """The files from which the settings were read, and those that they name."""
    for setting in setting_fields(type(settings)):
        if setting.is_secret and (path := os.environ.get(setting.file_variable)):
            yield Path(path)
        value: Any = settings
        for name in setting.path:
            value = getattr(value, name, None)
        if isinstance(value, Path):
            yield value


def _signature(path: Path) -> _Signature:
    """Changes with the content, or with the file to which a link leads; None: unreadable."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
