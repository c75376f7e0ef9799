"""Steady load while the broker, projectors, relays and Postgres die again and again."""

import time

import pytest
from faults import Faults, table
from stack.conversations import Crowd, a_crowd
from stack.model_server import ModelServer
from stack.parley import Stack
from stack.topic import distinct_ids, last_sequences, records_in_topic

REPLICAS = "session=2,history-project=2,history-serve=2,gateway=2"
PEOPLE = 48
EVENTS = 20_000
EVENTS_OF_A_TURN = 3

SETTINGS = {
    # So that a zombie's transaction ends while it is away (see `faults.ZOMBIE_SECONDS`).
    "PARLEY_RELAY_PUBLISH_SECONDS": "2",
    # Many batches, so that processes die between and within them.
    "PARLEY_PROJECTOR_RECORDS": "50",
}


@pytest.mark.timeout(540)
async def test_what_was_acknowledged_is_stored_logged_and_projected_once(
    stack: Stack, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stack.running("--replicas", REPLICAS, **model_server.settings, **SETTINGS):
        gateways = [stack.address("gateway"), stack.address("gateway-2")]
        crowd = await a_crowd(stack, PEOPLE, gateways)
        faults, began = Faults(stack, crowd), time.monotonic()
        async with faults.flushing(), crowd.talking():
            await faults.all()
            await crowd.until_more(max(1, EVENTS // EVENTS_OF_A_TURN - crowd.turns), within=180)
        seconds = time.monotonic() - began
        await stack.until_ready()

        await crowd.require_whole_history()
        verified = await stack.output_of("log", "verify")
        records = await records_in_topic(stack.address("kafka"))
        require_each_event_in_the_log(crowd, records)

        acknowledged = crowd.events
        distinct = distinct_ids(records)
        assert acknowledged >= EVENTS
        assert distinct == acknowledged
        assert f"{acknowledged:,} events" in verified
        figures = [
            ("acknowledged = stored = in the log = projected", f"{acknowledged:,} events"),
            ("turns", f"{crowd.turns:,} in {seconds:.0f} s, {crowd.turns / seconds:.0f} a second"),
            ("of them interrupted (their lease ran out)", crowd.interrupted),
            ("calls repeated by the clients", crowd.retries),
            ("repeats in the log, dropped by the projection", len(records) - distinct),
            *faults.done.items(),
        ]
        with capsys.disabled():
            print(f"\n{table(figures)}\n{verified}")


def require_each_event_in_the_log(crowd: Crowd, records: list[object]) -> None:
    reached = last_sequences(records)
    assert reached == {each.session_id: each.version for each in crowd.conversations}
