"""Records the AOT cache of Kafka in a run on a temporary data folder."""

import secrets
import shutil
from pathlib import Path

from parley_cli.engines.kafka.jars import jars_are_complete
from parley_cli.engines.kafka.kafka_server import KafkaServer, kafka_aot_cache
from parley_cli.engines.process.child_process import try_lock

# Java writes the cache at its end. The stack already runs and does not wait for it.
STOP_TIMEOUT_SECONDS = 300.0


async def record_kafka_aot_cache(data: Path, cache: Path, port: int, controller_port: int) -> None:
    """Record an AOT cache in the folder `cache` unless it has one. Raises EngineError."""
    if _is_recorded(cache):
        return
    folder = data / "kafka-recording"
    lock_file = cache / "kafka" / "recording"
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as lock:
        # Another stack that shares the cache folder records it now.
        if not try_lock(lock):
            return
        await _record(folder, cache, port, controller_port)


async def _record(folder: Path, cache: Path, port: int, controller_port: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    # With a password, as a stack has one: the cache has the classes that were loaded.
    password = secrets.token_urlsafe(32)
    server = KafkaServer(
        folder, cache, port, controller_port, password=password, record_aot_cache=True
    )
    try:
        await server.start()
        await server.stop(STOP_TIMEOUT_SECONDS)
    finally:
        server.child.kill()
        await server.child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _is_recorded(cache: Path) -> bool:
    cache = cache.resolve()
    return jars_are_complete(cache) and bool(kafka_aot_cache(cache).options())
