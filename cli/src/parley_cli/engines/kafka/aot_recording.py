"""Runs Kafka once on data of its own, so that Java records its start cache."""

import asyncio
import shutil
from pathlib import Path

from parley_cli.engines.kafka.jars import jars_are_complete
from parley_cli.engines.kafka.server import KafkaServer, kafka_start_cache

# Java writes the cache after its end was asked for. Nobody waits for it.
LIMIT = 300.0  # Seconds.


async def record_kafka_start(data: Path, cache: Path, port: int, controller_port: int) -> None:
    """Leave a start cache in `cache`, unless it has one. Raises EngineError."""
    if await asyncio.to_thread(_is_recorded, cache):
        return
    folder = data / "kafka-recording"
    shutil.rmtree(folder, ignore_errors=True)
    server = KafkaServer(folder, cache, port, controller_port, records_start=True)
    try:
        await server.start()
        await server.stop(LIMIT)
    finally:
        server.child.kill()
        await server.child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _is_recorded(cache: Path) -> bool:
    return jars_are_complete(cache) and bool(kafka_start_cache(cache.resolve()).options())
