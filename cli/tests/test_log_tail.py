"""`parley log tail` on a real topic: what is chosen, in which order, and how it is shown."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from cli_peers.log import MORNING, Conversation, append
from cli_peers.tailed import EVERYTHING, Log, subjects
from cloudevents.core.formats.json import JSONFormat

from parley_cli.log.tail.filters import FilterOptions, Owner
from parley_core.log import (
    LogError,
)
from parley_events.cloudevents import Record
from parley_events.session import MessageSubmitted, SessionStarted
from parley_testing.transactions import append_in_transaction


async def test_the_last_20_are_shown_in_the_order_of_their_times(log: Log) -> None:
    talks = [Conversation(began=MORNING + timedelta(seconds=n)) for n in range(8)]
    for _ in range(4):
        for talk in talks:
            talk.said("Hello")
    # Side by side, as the relay publishes them: in a partition, later is further behind.
    steps = zip(*(talk.records for talk in talks), strict=True)
    await append(log.brokers, log.topic, [record for step in steps for record in step])
    events = await log.events()
    everything = await log.events(FilterOptions(since=MORNING))
    assert len(everything) == 40
    times = [event["time"] for event in everything]
    assert times == sorted(times)
    assert events == everything[-20:]
    assert len({event["partition"] for event in everything}) > 1


async def test_the_mark_of_a_transaction_holds_nothing_up(log: Log) -> None:
    talk = Conversation().said("Hello")
    await append_in_transaction(log.brokers.bootstrap, log.topic, talk.records)
    async with asyncio.timeout(10):
        for selection in (EVERYTHING, FilterOptions(since=MORNING)):
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
    started = FilterOptions(types=frozenset({SessionStarted.TYPE}))
    assert [e["subject"] for e in await log.events(started, count=1)] == [str(second.id)]
    assert len(await log.events(started)) == 2


async def test_a_time_and_a_type_and_a_session_narrow_what_is_shown(log: Log) -> None:
    mine, other = Conversation(), Conversation()
    for _ in range(5):
        mine.said("Hello").answered("Hi")
        other.said("Hello")
    await log.has(mine, other)
    selection = FilterOptions(
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
    assert await log.events(FilterOptions(since=MORNING + timedelta(days=3650))) == []


async def test_a_person_is_found_by_the_first_event_of_a_session(log: Log) -> None:
    ada, acme = Conversation("ada").answered("Hi"), Conversation("ada", tenant="acme").said("x")
    bob = Conversation("bob", tenant="acme")
    await log.has(ada, acme, bob)
    by_ada = await log.events(FilterOptions(owner=Owner("default", "ada")))
    assert subjects(by_ada) == {str(ada.id)}
    assert len(by_ada) == 2
    assert len(await log.events(FilterOptions(owner=Owner("default", "ada")), count=1)) == 1
    assert subjects(await log.events(FilterOptions(owner=Owner("acme", None)))) == {
        str(acme.id),
        str(bob.id),
    }
    after_it = FilterOptions(owner=Owner("default", "ada"), since=MORNING + timedelta(minutes=1))
    assert [event["sequence"] for event in await log.events(after_it)] == [2]


async def test_a_place_is_where_it_begins_and_no_other_partition_is_read(log: Log) -> None:
    talk = Conversation().said("one").said("two").said("three")
    await log.has(talk, *(Conversation() for _ in range(8)))
    place = next(e for e in await log.events(FilterOptions(since=MORNING)) if e["sequence"] == 2)
    there = FilterOptions(starts={place["partition"]: place["offset"]})
    assert await log.events(there, count=1) == [place]
    assert {event["partition"] for event in await log.events(there)} == {place["partition"]}
    with pytest.raises(LogError, match="has no partition 9"):
        await log.events(FilterOptions(starts={9: 0}))


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
    assert "invalid data for its type" in told
    assert "who knows" in told
    assert "the header ce_" in told
    assert "in clear" not in told
