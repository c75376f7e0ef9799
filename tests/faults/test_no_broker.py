"""A minute without Kafka: chat goes on, the outbox grows, drains afterwards, nothing is lost."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from faults import table
from stack.conversations import a_crowd
from stack.model_server import ModelServer
from stack.parley import Stack
from stack.topic import last_sequences, records_in_topic

from parley_cli.engines import KafkaServer, free_port
from parley_testing.eventually import eventually

AWAY_SECONDS = 60
PEOPLE = 8


@pytest.mark.timeout(300)
async def test_a_minute_without_a_broker_costs_no_chat_and_no_event(
    stack: Stack,
    model_server: ModelServer,
    engine_cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kafka = KafkaServer(stack.data.with_name("elsewhere"), engine_cache, free_port(), free_port())
    await kafka.start()
    settings = {"PARLEY_KAFKA": kafka.bootstrap, "PARLEY_TOPIC_PARTITIONS": "12"}
    try:
        async with stack.running("--replicas", "session=2", **model_server.settings, **settings):
            crowd = await a_crowd(stack, PEOPLE)
            async with crowd.talking():
                await crowd.until_more(PEOPLE)
                await kafka.stop()
                before, depths = crowd.turns, list[int]()
                for _ in range(3):
                    await asyncio.sleep(AWAY_SECONDS / 3)
                    depths.append(await outbox_depth(stack))
                turns = crowd.turns - before
            # Not once did anybody have to ask again.
            assert crowd.retries == 0
            crowd.require_all_completed()
            assert depths == sorted(depths)
            assert depths[-1] > turns

            await kafka.start()
            began = time.monotonic()
            await eventually(lambda: outbox_is_empty(stack), within=60)
            drained = time.monotonic() - began
            await crowd.require_whole_history()
            reached = last_sequences(await records_in_topic(kafka.bootstrap))
            assert reached == {each.session_id: each.version for each in crowd.conversations}
        figures = [
            ("turns without a broker", f"{turns} in {AWAY_SECONDS} s, none failed or repeated"),
            ("outbox after 20, 40, 60 s", ", ".join(f"{depth:,}" for depth in depths)),
            ("drained, from the broker's return", f"{drained:.1f} s"),
        ]
        with capsys.disabled():
            print(f"\n{table(figures)}")
    finally:
        await kafka.stop()


async def outbox_is_empty(stack: Stack) -> bool:
    return await outbox_depth(stack) == 0


async def outbox_depth(stack: Stack) -> int:
    """As session's own metrics have it."""
    told = await stack.fetch(f"http://{stack.address('session')}/metrics")
    found = re.search(r'^parley_outbox_events{stream="sessions"} (\S+)$', told.text, re.MULTILINE)
    assert found, told.text
    return int(float(found[1]))
