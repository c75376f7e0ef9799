"""Tiers of the tests and their order; tests/support/engine_fixtures.py has the engines."""

import gc
import logging
import os
import re
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["engine_fixtures"]

_TIERS_BY_FOLDER = {f"tests/{tier}/": tier for tier in ("e2e", "faults", "k8s")}

_ENGINE_FIXTURES = frozenset(("postgres_server", "kafka_bootstrap", "kafka", "redis_url"))
# Names by which a test module starts engines or other processes itself.
_STARTS_PROCESSES = re.compile(
    r"\b(subprocess|create_subprocess_exec|parley_testing\.processes|server_process|fetch_jars"
    r"|(Postgres|Kafka|Redis)Server|find_prometheus|pgbouncer|SecuredKafka|record_kafka_aot_cache"
    r"|tools\.manifests|FakeServices)\b"
)
# Serves an application of ours on a socket of the test process, among fakes of its neighbours.
_SERVICE_FIXTURE = "start"
# A parallel run starts with the slowest tiers; the short tests even out its end.
_RUN_ORDER = ("k8s", "faults", "e2e", "engine", "service", "unit")

_UUID_OR_TIME = re.compile(
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d(?::|%3A)\S+"
)

# A shell starts its background jobs with SIGINT ignored, and child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Replace UUIDs and times in test ids: they differ between the processes of a parallel run."""
    varies = isinstance(val, str) and _UUID_OR_TIME.search(val)
    return _UUID_OR_TIME.sub("*", str(val)) if varies else None


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave out the collected tests and their modules from garbage collections: they stay."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, and sort the tests of a parallel run by tier."""
    tiers = {item: _tier(item) for item in items}
    for item, tier in tiers.items():
        item.add_marker(tier)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: _RUN_ORDER.index(tiers[item]))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Forget which tests failed in a run that broke off: `--last-failed` runs all of them then."""
    cache = session.config.cache
    if exitstatus == pytest.ExitCode.INTERNAL_ERROR and cache is not None:
        cache.set("cache/lastfailed", {})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Schedule by file, and the tests of the stacks by folder: a folder shares its stack."""
    from xdist.scheduler import LoadFileScheduling

    class FolderOfStackScheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return file.rpartition("/")[0] if file.startswith("tests/e2e/") else file

    return FolderOfStackScheduling(config, log)


def _tier(item: pytest.Item) -> str:
    for folder, tier in _TIERS_BY_FOLDER.items():
        if item.nodeid.startswith(folder):
            return tier
    fixtures = getattr(item, "fixturenames", ())
    if not _ENGINE_FIXTURES.isdisjoint(fixtures) or _starts_processes(item.path):
        return "engine"
    return "service" if _SERVICE_FIXTURE in fixtures else "unit"


@cache
def _starts_processes(module: Path) -> bool:
    return _STARTS_PROCESSES.search(module.read_text()) is not None


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Undo the logging that a command configured for the whole process of the tests."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield
    for added in [each for each in root.handlers if each not in handlers]:
        root.removeHandler(added)
    root.setLevel(level)
