"""Exactly-once under faults: broker, projectors, relays and Postgres are killed under load."""

import time

import pytest
from e2e_support.chat_load import ChatLoad, start_chat_load
from e2e_support.fault_injection import FaultInjector, table
from e2e_support.kafka_records import count_distinct_events, last_sequences, read_records
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack

REPLICAS = "session=2,history-project=2,history-serve=2,gateway=2"
USERS = 48
EVENTS = 20_000
EVENTS_OF_A_TURN = 3

SETTINGS = {
    # Small batches, so that processes are killed between and within them.
    "PARLEY_HISTORY_PROJECTOR_BATCH_SIZE": "50",
}


# Three to four minutes on two idle processors; other work on them slows it down.
@pytest.mark.timeout(1_500)
async def test_every_acknowledged_event_is_stored_published_and_projected_once(
    stack: Stack, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stack.running("--replicas", REPLICAS, **model_server.settings, **SETTINGS):
        gateways = [stack.address("gateway"), stack.address("gateway-2")]
        load = await start_chat_load(stack, USERS, gateways)
        faults, began = FaultInjector(stack, load), time.monotonic()
        async with faults.flushing(), load.running():
            await faults.inject_all()
            await load.wait_for_turns(max(1, EVENTS // EVENTS_OF_A_TURN - load.turns))
        seconds = time.monotonic() - began
        await stack.wait_until_ready()

        await load.assert_complete_history()
        verified = await stack.stdout_of("log", "verify")
        records = await read_records(stack.kafka)
        assert_log_is_complete(load, records)

        acknowledged = load.events
        distinct = count_distinct_events(records)
        assert acknowledged >= EVENTS
        assert distinct == acknowledged
        assert f"{acknowledged:,} events" in verified
        figures = [
            ("acknowledged = stored = published = projected", f"{acknowledged:,} events"),
            ("turns", f"{load.turns:,} in {seconds:.0f} s, {load.turns / seconds:.0f} a second"),
            ("turns interrupted (lease expired)", load.interrupted),
            ("requests repeated by clients", load.retries),
            ("repeats in the log, dropped by the projector", len(records) - distinct),
            *faults.counts.items(),
        ]
        with capsys.disabled():
            print(f"\n{table(figures)}\n{verified}")


def assert_log_is_complete(load: ChatLoad, records: list[object]) -> None:
    reached = last_sequences(records)
    assert reached == {each.session_id: each.version for each in load.conversations}
