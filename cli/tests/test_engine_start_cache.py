"""Java's start cache: recorded once, then used by every start that it fits."""

import os
import shutil
from pathlib import Path

import pytest

from parley_cli.engines import KafkaServer, free_port
from parley_cli.engines.jars import kafka_jars
from parley_cli.engines.start_cache import java_options, share_recorded


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    own.mkdir()
    return shared, own


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    jar = tmp_path / "some.jar"
    jar.write_text("jar")
    return jar


def record(shared: Path, own: Path, jar: Path) -> Path:
    """What Java does, and where it is kept."""
    [option] = java_options(shared, own, [jar])
    assert option.startswith("-XX:AOTCacheOutput=")
    Path(option.removeprefix("-XX:AOTCacheOutput=")).write_text("recorded")
    share_recorded(shared, own)
    [kept] = shared.iterdir()
    return kept


def test_what_one_run_recorded_the_next_one_uses(folders: tuple[Path, Path], jar: Path) -> None:
    kept = record(*folders, jar)
    assert java_options(*folders, [jar]) == [f"-XX:AOTCache={kept}"]


def test_a_cache_cut_short_is_recorded_anew(folders: tuple[Path, Path], jar: Path) -> None:
    kept = record(*folders, jar)
    kept.write_text("record")
    assert record(*folders, jar) == kept
    assert kept.read_text() == "recorded"


def test_a_cache_for_another_jar_is_recorded_anew(folders: tuple[Path, Path], jar: Path) -> None:
    kept = record(*folders, jar)
    os.utime(jar, (0, 0))
    assert record(*folders, jar) != kept


def test_what_a_killed_run_left_is_not_shared(folders: tuple[Path, Path], jar: Path) -> None:
    shared, own = folders
    [option] = java_options(shared, own, [jar])
    Path(option.removeprefix("-XX:AOTCacheOutput=")).write_text("recor")
    java_options(shared, own, [jar])
    share_recorded(shared, own)
    assert not any(shared.iterdir())


async def test_kafka_records_a_cache_and_starts_from_it(tmp_path: Path, engine_cache: Path) -> None:
    own_cache = tmp_path / "cache"
    for jar in kafka_jars(engine_cache):
        copy = own_cache / jar.relative_to(engine_cache)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(jar, copy)
    server = KafkaServer(tmp_path / "data", own_cache, free_port(), free_port())

    async def kept_after_a_run() -> tuple[Path, os.stat_result]:
        await server.start()
        await server.stop()
        [kept] = (own_cache / "kafka").glob("start*")
        return kept, kept.stat()

    recorded = await kept_after_a_run()
    used = await kept_after_a_run()
    assert used[0] == recorded[0]
    assert used[1].st_mtime_ns == recorded[1].st_mtime_ns
