"""A Kafka outage of one minute: chat works, the outbox fills and drains, nothing is lost."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from e2e_support.chat_load import start_chat_load
from e2e_support.fault_injection import table
from e2e_support.kafka_records import last_sequences, read_records
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack

from parley_cli.engines import KafkaServer, free_port
from parley_testing.eventually import eventually

OUTAGE_SECONDS = 60
USERS = 8


@pytest.mark.timeout(300)
async def test_a_kafka_outage_fails_no_turn_and_loses_no_event(
    stack: Stack,
    model_server: ModelServer,
    engine_cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kafka = KafkaServer(stack.data.with_name("kafka"), engine_cache, free_port(), free_port())
    await kafka.start()
    settings = {"PARLEY_KAFKA": kafka.bootstrap, "PARLEY_SESSION_TOPIC_PARTITIONS": "12"}
    try:
        async with stack.running("--replicas", "session=2", **model_server.settings, **settings):
            load = await start_chat_load(stack, USERS)
            async with load.running():
                await load.wait_for_turns(USERS)
                await kafka.stop()
                before, depths = load.turns, list[int]()
                for _ in range(3):
                    await asyncio.sleep(OUTAGE_SECONDS / 3)
                    depths.append(await outbox_depth(stack))
                turns = load.turns - before
            # No client had to repeat a request.
            assert load.retries == 0
            load.assert_all_completed()
            assert depths == sorted(depths)
            assert depths[-1] > turns

            await kafka.start()
            began = time.monotonic()
            await eventually(lambda: outbox_is_empty(stack), within=60)
            drained = time.monotonic() - began
            await load.assert_complete_history()
            reached = last_sequences(await read_records({"bootstrap_servers": kafka.bootstrap}))
            assert reached == {each.session_id: each.version for each in load.conversations}
        figures = [
            ("turns during the outage", f"{turns} in {OUTAGE_SECONDS} s, none failed or repeated"),
            ("outbox after 20, 40, 60 s", ", ".join(f"{depth:,}" for depth in depths)),
            ("time to drain after Kafka's restart", f"{drained:.1f} s"),
        ]
        with capsys.disabled():
            print(f"\n{table(figures)}")
    finally:
        await kafka.stop()


async def outbox_is_empty(stack: Stack) -> bool:
    return await outbox_depth(stack) == 0


async def outbox_depth(stack: Stack) -> int:
    """The outbox size from the metrics of the session replica that reports it."""
    replicas = [stack.management(name) for name in ("session", "session-2")]
    metrics = [(await stack.fetch(f"http://{address}/metrics")).text for address in replicas]
    found = re.search(
        r'^parley_session_outbox_pending_events{stream="sessions"} (\S+)$',
        "\n".join(metrics),
        re.MULTILINE,
    )
    assert found, metrics
    return int(float(found[1]))
