"""`parley log tail` on a real topic: what is chosen, in which order, and how it is shown."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cli_peers.log import MORNING, Conversation, append, session_with_keys
from cloudevents.core.formats.json import JSONFormat

from parley_cli.engines import KafkaServer, free_port
from parley_cli.log.contents import NoKeys
from parley_cli.log.found import Found
from parley_cli.log.patient_log import PatientLog
from parley_cli.log.reading import in_time_order
from parley_cli.log.selection import Owner, Selection
from parley_cli.log.tail import Asked, KeyHolder, tail
from parley_core.cloudevents import Record
from parley_core.events import MessageSubmitted, SessionStarted
from parley_core.log import (
    Brokers,
    Entry,
    LogError,
    LogReader,
    TopicSpec,
    ensure_topic,
    partition_of,
)
from parley_core.principal import InternalSecret
from parley_testing.eventually import eventually
from parley_testing.peers import SECRET
from parley_testing.transactions import append_in_transaction

Output = pytest.CaptureFixture[str]
EVERYTHING = Selection()


@pytest.fixture
async def topic(kafka_bootstrap: str, topic: str) -> str:
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic


class Log:
    """A topic of this test alone, and what `parley log tail` shows of it."""

    def __init__(self, brokers: Brokers, topic: str, output: Output) -> None:
        self.brokers, self.topic, self._output = brokers, topic, output

    async def has(self, *conversations: Conversation) -> None:
        # One after the other: the order in the log is not that of the times.
        for each in conversations:
            await append(self.brokers, self.topic, each.records)

    async def shown(
        self,
        selection: Selection = EVERYTHING,
        keys: KeyHolder | None = None,
        **asked: Any,
    ) -> list[str]:
        self._output.readouterr()
        await tail(self.brokers, self.topic, Asked(selection, **asked), keys)
        return self._output.readouterr().out.splitlines()

    async def events(
        self,
        selection: Selection = EVERYTHING,
        **asked: Any,
    ) -> list[Any]:
        return [json.loads(line) for line in await self.shown(selection, as_json=True, **asked)]


@pytest.fixture
def log(kafka_bootstrap: str, topic: str, capsys: Output) -> Log:
    return Log(Brokers(kafka_bootstrap), topic, capsys)


def subjects(events: list[Any]) -> set[str]:
    return {event["subject"] for event in events}


async def test_the_last_20_are_shown_in_the_order_of_their_times(log: Log) -> None:
    talks = [Conversation(began=MORNING + timedelta(seconds=n)) for n in range(8)]
    for _ in range(4):
        for talk in talks:
            talk.said("Hello")
    # Side by side, as the relay publishes them: in a partition, later is further behind.
    steps = zip(*(talk.records for talk in talks), strict=True)
    await append(log.brokers, log.topic, [record for step in steps for record in step])
    events = await log.events()
    everything = await log.events(Selection(since=MORNING))
    assert len(everything) == 40
    times = [event["time"] for event in everything]
    assert times == sorted(times)
    assert events == everything[-20:]
    assert len({event["partition"] for event in everything}) > 1


async def test_the_mark_of_a_transaction_holds_nothing_up(log: Log) -> None:
    talk = Conversation().said("Hello")
    await append_in_transaction(log.brokers.bootstrap, log.topic, talk.records)
    async with asyncio.timeout(10):
        for selection in (EVERYTHING, Selection(since=MORNING)):
            assert len(await log.events(selection)) == len(talk.records)


async def test_data_that_is_not_strict_json_is_shown_as_undecodable(log: Log) -> None:
    talk = Conversation()
    [started] = talk.records
    headers = {**dict(started.headers), "ce_type": b"parley.session.something_new.v1"}
    talk.records.append(replace(started, headers=[*headers.items()], value=b'{"number":NaN}'))
    await log.has(talk)
    [_, event] = await log.events()
    assert event["undecodable"] == "the value is not strict JSON"
    assert "cannot be decoded: the value is not strict JSON" in (await log.shown())[1]


async def test_what_is_rare_is_found_however_far_back_it_is(log: Log) -> None:
    first, second = Conversation(), Conversation(began=MORNING + timedelta(seconds=1))
    for _ in range(150):
        first.said("Hello")
        second.said("Hello")
    await log.has(first, second)
    started = Selection(types=frozenset({SessionStarted.TYPE}))
    assert [e["subject"] for e in await log.events(started, count=1)] == [str(second.id)]
    assert len(await log.events(started)) == 2


async def test_a_time_and_a_type_and_a_session_narrow_what_is_shown(log: Log) -> None:
    mine, other = Conversation(), Conversation()
    for _ in range(5):
        mine.said("Hello").answered("Hi")
        other.said("Hello")
    await log.has(mine, other)
    selection = Selection(
        types=frozenset({MessageSubmitted.TYPE}),
        sessions=frozenset({str(mine.id)}),
        since=MORNING + timedelta(minutes=3),
        until=MORNING + timedelta(minutes=7),
    )
    events = await log.events(selection)
    assert subjects(events) == {str(mine.id)}
    assert [event["sequence"] for event in events] == [4, 6, 8]


async def test_a_time_that_the_log_has_not_reached_shows_nothing(log: Log) -> None:
    await log.has(Conversation().said("Hello"))
    assert await log.events(Selection(since=MORNING + timedelta(days=3650))) == []


async def test_a_person_is_found_by_the_first_event_of_a_session(log: Log) -> None:
    ada, acme = Conversation("ada").answered("Hi"), Conversation("ada", tenant="acme").said("x")
    bob = Conversation("bob", tenant="acme")
    await log.has(ada, acme, bob)
    by_ada = await log.events(Selection(owner=Owner("default", "ada")))
    assert subjects(by_ada) == {str(ada.id)}
    assert len(by_ada) == 2
    assert len(await log.events(Selection(owner=Owner("default", "ada")), count=1)) == 1
    assert subjects(await log.events(Selection(owner=Owner("acme", None)))) == {
        str(acme.id),
        str(bob.id),
    }
    after_it = Selection(owner=Owner("default", "ada"), since=MORNING + timedelta(minutes=1))
    assert [event["sequence"] for event in await log.events(after_it)] == [2]


async def test_a_place_is_where_it_begins_and_no_other_partition_is_read(log: Log) -> None:
    talk = Conversation().said("one").said("two").said("three")
    await log.has(talk, *(Conversation() for _ in range(8)))
    place = next(e for e in await log.events(Selection(since=MORNING)) if e["sequence"] == 2)
    there = Selection(starts={place["partition"]: place["offset"]})
    assert await log.events(there, count=1) == [place]
    assert {event["partition"] for event in await log.events(there)} == {place["partition"]}
    with pytest.raises(LogError, match="has no partition 9"):
        await log.events(Selection(starts={9: 0}))


async def test_a_line_of_json_is_a_cloud_event_with_its_place(log: Log) -> None:
    talk = Conversation().answered("Hi")
    await log.has(talk)
    line = (await log.shown(as_json=True))[-1]
    event = JSONFormat().read(None, line)
    assert event.get_type() == "parley.session.reply_completed.v1"
    assert event.get_subject() == str(talk.id)
    assert event.get_data()["usage"]["completion_tokens"] == 34
    assert (event.get_extension("offset"), event.get_extension("sequence")) == (1, 2)


async def test_a_person_is_shown_facts_and_no_text(log: Log) -> None:
    talk = Conversation("ada", tenant="acme").said("my secret").answered("your secret")
    await log.has(talk)
    started, said, answered = await log.shown()
    assert started.split()[:6] == [
        "2026-11-24T08:00:00.000Z",
        str(talk.id),
        *("1", "session_started", "acme/ada", "helper"),
    ]
    assert said.split()[2:5] == ["2", "message_submitted", "acme/ada"]
    assert "(inference)  gpt  stop  12+34 tokens  900 ms" in answered
    assert "secret" not in started + said + answered


async def test_what_a_terminal_would_obey_is_shown_and_not_sent(log: Log) -> None:
    await log.has(Conversation().answered("Hi", model="\x1b[2Jgpt"))
    answered = (await log.shown())[-1]
    assert "\\u001b[2Jgpt" in answered
    assert "\x1b" not in answered


@pytest.mark.parametrize("as_json", [True, False])
async def test_a_record_that_cannot_be_decoded_is_shown_as_such_in_its_place(
    log: Log, as_json: bool
) -> None:
    talk = Conversation().said("one").said("two")
    broken = replace(talk.records[1], value=b'{"content": "in clear"')
    talk.records[1] = broken
    stranger = Record(b"who knows", [("ce_time", b"never")], b"\xff\x00")
    await log.has(talk)
    await append(log.brokers, log.topic, [stranger])
    lines = await log.shown(as_json=as_json)
    assert len(lines) == 4
    told = "".join(lines)
    assert "not the data of its type" in told
    assert "who knows" in told
    assert "the header ce_" in told
    assert "in clear" not in told


async def test_content_is_opened_with_the_keys_that_session_gives(log: Log, capsys: Output) -> None:
    open_one = Conversation().said("Guten\nMorgen \x07").answered("Hi")
    erased, unknown = Conversation().said("gone"), Conversation().said("lost")
    foreign = Conversation().said("mine")
    await log.has(open_one, erased, unknown, foreign)
    keys = {open_one.id: open_one.key, erased.id: None, foreign.id: open_one.key}
    async with session_with_keys(keys) as url:
        holder = KeyHolder(url, InternalSecret.parse(SECRET))
        lines = await log.shown(keys=holder)
        events = [json.loads(line) for line in await log.shown(keys=holder, as_json=True)]
    assert "    content: Guten" in lines
    assert "      Morgen \\u0007" in lines
    assert "    content: Hi" in lines
    assert "    content: (erased)" in lines
    assert "    content: (no key: session does not know it)" in lines
    assert "    content: (cannot be opened)" in lines
    contents = [event["data"].get("content") for event in events]
    assert {"text": "Hi"} in contents
    assert {"hidden": "erased"} in contents


async def test_keys_of_many_sessions_are_asked_for_a_hundred_at_a_time(log: Log) -> None:
    talks = [Conversation().said(f"text {n}") for n in range(130)]
    await append(log.brokers, log.topic, [each for talk in talks for each in talk.records])
    async with session_with_keys({talk.id: talk.key for talk in talks}) as url:
        lines = await log.shown(
            Selection(since=MORNING), keys=KeyHolder(url, InternalSecret.parse(SECRET))
        )
    assert {f"    content: text {n}" for n in range(130)} <= set(lines)


async def test_a_session_that_gives_no_keys_is_told(log: Log) -> None:
    await log.has(Conversation().said("Hello"))
    away = KeyHolder(f"http://127.0.0.1:{free_port()}", InternalSecret.parse(SECRET))
    with pytest.raises(NoKeys, match="gives no keys to open the content with"):
        await log.shown(keys=away)


class CountingLog(PatientLog):
    records = 0

    async def read(self, patience: float) -> list[Entry]:
        entries = await super().read(patience)
        self.records += len(entries)
        return entries


async def test_few_records_wait_for_their_turn_however_the_partitions_lie(log: Log) -> None:
    # All that is in the one partition is later than all that is in the other.
    early, late = Conversation(), Conversation(began=MORNING + timedelta(days=30))
    while partition_with(late) == partition_with(early):
        late = Conversation(began=MORNING + timedelta(days=30))
    for _ in range(4_500):
        early.said("x")
        late.said("x")
    await log.has(late, early)
    reader = LogReader(log.brokers, log.topic)
    await reader.start()
    counting = CountingLog(reader, log.brokers, print)
    ends = await reader.end_positions()
    starts = dict.fromkeys(ends, 0)
    seen: list[Found] = []
    waited = 0
    async for batch in in_time_order(counting, lambda _: True, starts, ends, most_held=100):
        seen += batch
        waited = max(waited, counting.records - len(seen))
    await reader.close()
    assert len(seen) == 9_002
    assert seen == sorted(seen)
    assert waited < 2_500


def partition_with(talk: Conversation) -> int:
    return partition_of(str(talk.id).encode(), range(4))


async def test_following_goes_on_after_the_broker_was_killed(
    kafka: KafkaServer, capsys: Output
) -> None:
    brokers = Brokers(kafka.bootstrap)
    await ensure_topic(brokers, TopicSpec("test", 2, 1, 1))
    first, second, third = Conversation("ada"), Conversation("bob"), Conversation("cyd")
    await append(brokers, "test", first.records)
    output = {"out": "", "err": ""}

    def has(text: str) -> bool:
        read = capsys.readouterr()
        output["out"] += read.out
        output["err"] += read.err
        return text in output["out"] + output["err"]

    following = asyncio.create_task(tail(brokers, "test", Asked(Selection(), follow=True), None))
    try:
        await eventually(lambda: has("ada"))
        await append(brokers, "test", second.records)
        await eventually(lambda: has("bob"))
        os.kill(kafka.pid, signal.SIGKILL)
        await eventually(lambda: has("Kafka is away"))
        await kafka.stop()
        await kafka.start()
        await append(brokers, "test", third.records)
        await eventually(lambda: has("cyd"), within=20)
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    assert output["out"].count("session_started") == 3
    assert output["err"].splitlines() == [
        "Kafka is away; the log is read on when it is back.",
        "Kafka is back.",
    ]
