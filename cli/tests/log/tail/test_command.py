"""`parley log tail` on a topic: selection, order and format of the records."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from cli_fakes.conversation import MORNING, FakeConversation, append
from cli_fakes.tailed_log import EVERYTHING, TailedLog, subjects
from cloudevents.core.formats.json import JSONFormat

from parley_cli.log.tail.filters import FilterOptions, Owner
from parley_core.log import LogError
from parley_events.cloudevents import Record
from parley_events.session import MessageSubmitted, SessionStarted
from parley_testing.transactions import append_in_transaction


async def test_the_last_20_events_are_printed_in_order_of_their_times(log: TailedLog) -> None:
    conversations = [FakeConversation(started_at=MORNING + timedelta(seconds=n)) for n in range(8)]
    for _ in range(4):
        for conversation in conversations:
            conversation.submitted("Hello")
    # Interleaved like the relay publishes them: times increase within a partition.
    steps = zip(*(conversation.records for conversation in conversations), strict=True)
    await append(log.brokers, log.topic, [record for step in steps for record in step])
    events = await log.events()
    everything = await log.events(FilterOptions(since=MORNING))
    assert len(everything) == 40
    times = [event["time"] for event in everything]
    assert times == sorted(times)
    assert events == everything[-20:]
    assert len({event["partition"] for event in everything}) > 1


async def test_transaction_markers_do_not_stall_reading(log: TailedLog) -> None:
    conversation = FakeConversation().submitted("Hello")
    await append_in_transaction(log.brokers.bootstrap, log.topic, conversation.records)
    async with asyncio.timeout(10):
        for filters in (EVERYTHING, FilterOptions(since=MORNING)):
            assert len(await log.events(filters)) == len(conversation.records)


async def test_data_that_is_not_strict_json_is_printed_as_undecodable(log: TailedLog) -> None:
    conversation = FakeConversation()
    [started] = conversation.records
    headers = {**dict(started.headers), "ce_type": b"parley.session.something_new.v1"}
    conversation.records.append(
        replace(started, headers=[*headers.items()], value=b'{"number":NaN}')
    )
    await log.append(conversation)
    [_, event] = await log.events()
    assert event["undecodable"] == "the value is not strict JSON"
    assert "cannot be decoded: the value is not strict JSON" in (await log.lines())[1]


async def test_rare_events_are_found_however_far_back_they_are(log: TailedLog) -> None:
    first, second = FakeConversation(), FakeConversation(started_at=MORNING + timedelta(seconds=1))
    for _ in range(150):
        first.submitted("Hello")
        second.submitted("Hello")
    await log.append(first, second)
    started = FilterOptions(types=frozenset({SessionStarted.TYPE}))
    assert [e["subject"] for e in await log.events(started, limit=1)] == [str(second.id)]
    assert len(await log.events(started)) == 2


async def test_time_type_and_session_filters_combine(log: TailedLog) -> None:
    mine, other = FakeConversation(), FakeConversation()
    for _ in range(5):
        mine.submitted("Hello").replied("Hi")
        other.submitted("Hello")
    await log.append(mine, other)
    filters = FilterOptions(
        types=frozenset({MessageSubmitted.TYPE}),
        sessions=frozenset({str(mine.id)}),
        since=MORNING + timedelta(minutes=3),
        until=MORNING + timedelta(minutes=7),
    )
    events = await log.events(filters)
    assert subjects(events) == {str(mine.id)}
    assert [event["sequence"] for event in events] == [4, 6, 8]


async def test_a_session_is_found_by_the_beginning_of_its_id(log: TailedLog) -> None:
    conversations = [FakeConversation() for _ in range(8)]
    await log.append(*conversations)
    for each in conversations:
        events = await log.events(FilterOptions(sessions=frozenset({str(each.id)[:8]})))
        assert subjects(events) == {str(each.id)}


async def test_a_start_in_the_future_selects_nothing(log: TailedLog) -> None:
    await log.append(FakeConversation().submitted("Hello"))
    assert await log.events(FilterOptions(since=MORNING + timedelta(days=3650))) == []


async def test_a_user_is_found_by_the_first_event_of_a_session(log: TailedLog) -> None:
    ada, acme = (
        FakeConversation("ada").replied("Hi"),
        FakeConversation("ada", tenant="acme").submitted("x"),
    )
    bob = FakeConversation("bob", tenant="acme")
    await log.append(ada, acme, bob)
    by_ada = await log.events(FilterOptions(owner=Owner("default", "ada")))
    assert subjects(by_ada) == {str(ada.id)}
    assert len(by_ada) == 2
    assert len(await log.events(FilterOptions(owner=Owner("default", "ada")), limit=1)) == 1
    assert subjects(await log.events(FilterOptions(owner=Owner("acme", None)))) == {
        str(acme.id),
        str(bob.id),
    }
    after_it = FilterOptions(owner=Owner("default", "ada"), since=MORNING + timedelta(minutes=1))
    assert [event["sequence"] for event in await log.events(after_it)] == [2]


async def test_a_position_starts_there_and_leaves_out_other_partitions(log: TailedLog) -> None:
    conversation = FakeConversation().submitted("one").submitted("two").submitted("three")
    await log.append(conversation, *(FakeConversation() for _ in range(8)))
    position = next(e for e in await log.events(FilterOptions(since=MORNING)) if e["sequence"] == 2)
    from_position = FilterOptions(starts={position["partition"]: position["offset"]})
    assert await log.events(from_position, limit=1) == [position]
    assert {event["partition"] for event in await log.events(from_position)} == {
        position["partition"]
    }
    with pytest.raises(LogError, match="has no partition 9"):
        await log.events(FilterOptions(starts={9: 0}))


async def test_a_line_of_json_is_a_cloud_event_with_its_position(log: TailedLog) -> None:
    conversation = FakeConversation().replied("Hi")
    await log.append(conversation)
    line = (await log.lines(as_json=True))[-1]
    event = JSONFormat().read(None, line)
    assert event.get_type() == "parley.session.reply_completed.v1"
    assert event.get_subject() == str(conversation.id)
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["usage"]["completion_tokens"] == 34
    assert (event.get_extension("offset"), event.get_extension("sequence")) == (1, 2)


async def test_a_line_of_text_has_details_and_no_message_content(log: TailedLog) -> None:
    conversation = (
        FakeConversation("ada", tenant="acme").submitted("my secret").replied("your secret")
    )
    await log.append(conversation)
    started, submitted, replied = await log.lines()
    assert started.split()[:6] == [
        "2026-11-24T08:00:00.000Z",
        str(conversation.id),
        *("1", "session_started", "acme/ada", "helper"),
    ]
    assert submitted.split()[2:5] == ["2", "message_submitted", "acme/ada"]
    assert "(inference)  gpt  stop  12+34 tokens  900 ms" in replied
    assert "secret" not in started + submitted + replied


async def test_control_characters_are_escaped(log: TailedLog) -> None:
    await log.append(FakeConversation().replied("Hi", model="\x1b[2Jgpt"))
    line = (await log.lines())[-1]
    assert "\\u001b[2Jgpt" in line
    assert "\x1b" not in line


@pytest.mark.parametrize("as_json", [True, False])
async def test_an_undecodable_record_is_printed_as_such_at_its_position(
    log: TailedLog, as_json: bool
) -> None:
    conversation = FakeConversation().submitted("one").submitted("two")
    broken = replace(conversation.records[1], value=b'{"content": "in clear"')
    conversation.records[1] = broken
    foreign = Record(b"who knows", [("ce_time", b"never")], b"\xff\x00")
    await log.append(conversation)
    await append(log.brokers, log.topic, [foreign])
    lines = await log.lines(as_json=as_json)
    assert len(lines) == 4
    output = "".join(lines)
    assert "invalid data for its type" in output
    assert "who knows" in output
    assert "the header ce_" in output
    assert "in clear" not in output
