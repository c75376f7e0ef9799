"""`parley log export` of a topic: what it writes, exactly once, and how it continues."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from cli_fakes.conversation import MORNING, FakeConversation, append, session_with_keys
from cli_fakes.exported_log import ExportedLog

from parley_cli.errors import CommandError
from parley_cli.log.dataset.event_columns import event_schema
from parley_cli.log.dataset.manifest import NoExport, Selection, load_manifest
from parley_cli.log.export.command import ExportOptions, export_log
from parley_cli.service_commands.locations import SessionAccess
from parley_core.log import partition_of
from parley_events.asyncapi.streams import STREAMS
from parley_events.cloudevents import Record
from parley_events.session import MessageSubmitted, ReplyCompleted, SessionStarted
from parley_testing.peers import signing_key


async def test_each_type_and_day_has_a_file_with_the_columns_of_the_model(
    exported: ExportedLog,
) -> None:
    conversation = FakeConversation(started_at=MORNING.replace(hour=23, minute=58))
    await exported.log.append(conversation.submitted("Hello").replied("Hi"))
    manifest = await exported.export()
    [submitted, _, completed] = sorted(manifest.files, key=lambda file: (file.day, file.path))
    assert submitted.path.endswith(
        "sessions/type=parley.session.message_submitted.v1/day=2026-11-24/part-000001.parquet"
    )
    assert completed.day == "2026-11-25"
    [row] = exported.rows(ReplyCompleted)
    assert row["usage"] == {"prompt_tokens": 12, "completion_tokens": 34, "estimated": False}
    assert row["session_id"] == str(conversation.id)
    assert (row["sequence"], row["first_token_ms"], row["price"]) == (3, 1, None)
    assert row["time"].isoformat() == "2026-11-25T00:00:00+00:00"
    schema = pq.read_schema(exported.folder / completed.path)
    assert schema.equals(event_schema(ReplyCompleted.TYPE), check_metadata=True)
    assert all(field.metadata[b"comment"] for field in schema)


async def test_repeats_are_left_out(exported: ExportedLog) -> None:
    conversation = FakeConversation().submitted("One").submitted("Two")
    for records in (conversation.records, conversation.records[:2], conversation.records):
        await append(exported.log.brokers, exported.log.topic, records)
    manifest = await exported.export()
    assert exported.positions() == [(str(conversation.id), sequence) for sequence in (1, 2, 3)]
    assert manifest.streams["sessions"].repeats == 5


async def test_continue_appends_only_what_is_new(exported: ExportedLog) -> None:
    first, second = FakeConversation().submitted("One"), FakeConversation()
    await exported.log.append(first)
    before = await exported.export()
    await append(exported.log.brokers, exported.log.topic, first.submitted("Two").records)
    await exported.log.append(second)
    after = await exported.export(resume=True)
    assert sorted(exported.positions()) == sorted(
        [(str(first.id), 1), (str(first.id), 2), (str(first.id), 3), (str(second.id), 1)]
    )
    assert after.files[: len(before.files)] == before.files
    assert (await exported.export(resume=True)).files == after.files


async def test_continue_exports_partitions_that_were_added_since(exported: ExportedLog) -> None:
    first = FakeConversation().submitted("One")
    await exported.log.append(first)
    await exported.export()
    admin = AIOKafkaAdminClient(bootstrap_servers=exported.log.brokers.bootstrap)
    await admin.start()
    await admin.create_partitions({exported.log.topic: NewPartitions(6)})
    await admin.close()
    added = FakeConversation()
    while partition_of(str(added.id).encode(), range(6)) < 4:
        added = FakeConversation()
    await exported.log.append(added)
    manifest = await exported.export(resume=True)
    assert (str(added.id), 1) in exported.positions()
    assert sorted(manifest.streams["sessions"].positions) == [0, 1, 2, 3, 4, 5]
    assert len(exported.rows()) == 3


async def test_an_event_whose_predecessor_is_missing_waits_for_it(exported: ExportedLog) -> None:
    conversation = FakeConversation().submitted("One").submitted("Two")
    started, one, two = conversation.records
    await append(exported.log.brokers, exported.log.topic, [started, two])
    manifest = await exported.export()
    assert [event.sequence for event in manifest.streams["sessions"].deferred] == [3]
    assert exported.positions() == [(str(conversation.id), 1)]
    await append(exported.log.brokers, exported.log.topic, [one])
    manifest = await exported.export(resume=True)
    assert manifest.streams["sessions"].deferred == []
    assert sorted(exported.positions()) == [(str(conversation.id), n) for n in (1, 2, 3)]


async def test_events_after_a_fork_of_the_store_are_left_out(exported: ExportedLog) -> None:
    conversation = FakeConversation().submitted("One")
    other = FakeConversation(started_at=MORNING + timedelta(hours=1))
    other.id = conversation.id
    other.submitted("Another").submitted("Third")
    forked = other.records[1:]
    await append(exported.log.brokers, exported.log.topic, [*conversation.records, *forked])
    manifest = await exported.export()
    assert manifest.streams["sessions"].forked == {str(conversation.id): 2}
    assert exported.positions() == [(str(conversation.id), 1), (str(conversation.id), 2)]


async def test_records_that_are_no_events_are_listed(exported: ExportedLog) -> None:
    conversation = FakeConversation().submitted("One").submitted("Two")
    started, one, two = conversation.records
    broken = replace(one, value=b'{"actor":7}')
    foreign = Record(b"key", [], b"value")
    headers = dict(FakeConversation().records[0].headers)
    upper = Record(
        headers["ce_subject"], [*{**headers, "ce_id": headers["ce_id"].upper()}.items()], b"{}"
    )
    binary = Record(b"\xff", [*{**headers, "ce_subject": b"\xff"}.items()], b"{}")
    records = [started, broken, two, foreign, upper, binary]
    await append(exported.log.brokers, exported.log.topic, records)
    manifest = await exported.export()
    assert [row["sequence"] for row in exported.rows()] == [1, 3]
    errors = {each.error for each in manifest.streams["sessions"].undecodable.first}
    assert manifest.streams["sessions"].undecodable.count == 4
    assert "a header is missing or invalid" in errors
    assert (await exported.export(resume=True)).files == manifest.files


async def test_fields_and_types_of_a_newer_version_are_exported_as_json(
    exported: ExportedLog,
) -> None:
    conversation = FakeConversation().submitted("One").replied("Hi")
    started, one, reply = conversation.records
    value = msgspec.json.decode(reply.value)
    value["cached"], value["usage"]["audio_tokens"] = True, 5
    newer = replace(reply, value=msgspec.json.encode(value))
    headers = {**dict(one.headers), "ce_type": b"parley.session.something_new.v1"}
    unknown = replace(one, headers=[*headers.items()], value=b'{"more": [1]}')
    await append(exported.log.brokers, exported.log.topic, [started, unknown, newer])
    await exported.export()
    [_, new, completed] = exported.rows()
    assert json.loads(new["data"]) == {"more": [1]}
    assert json.loads(completed["unknown_fields"]) == {
        "cached": True,
        "usage": {"audio_tokens": 5},
    }
    assert completed["usage"]["completion_tokens"] == 34


async def test_content_is_sealed_unless_asked_for_and_null_once_erased(
    exported: ExportedLog, tmp_path: Path
) -> None:
    open_one, erased = FakeConversation().submitted("Hello"), FakeConversation().submitted("Gone")
    await exported.log.append(open_one, erased)
    await exported.export()
    assert all(len(row["content"]) > 40 for row in exported.rows(MessageSubmitted))
    with_content = ExportedLog(exported.log, tmp_path / "content")
    async with session_with_keys({open_one.id: open_one.key, erased.id: None}) as url:
        await with_content.export(SessionAccess(url, signing_key("cli")), content=True)
    contents = {row["session_id"]: row["content"] for row in with_content.rows(MessageSubmitted)}
    assert contents == {str(open_one.id): '{"text":"Hello"}', str(erased.id): None}
    files = [with_content.folder / path for path in load_manifest(with_content.storage).paths]
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


async def test_fields_that_stay_sealed_are_counted_by_stream(exported: ExportedLog) -> None:
    await exported.log.append(FakeConversation().submitted("Hello"))
    options = ExportOptions(Selection(content=True))
    streams = tuple(replace(stream, topic=exported.log.topic) for stream in STREAMS[:2])
    async with session_with_keys({}) as url:
        keys = SessionAccess(url, signing_key("cli"))
        manifest = await export_log(
            exported.log.brokers, exported.storage, options, lambda: keys, streams
        )
    assert [state.unopened_fields for state in manifest.streams.values()] == [1, 1]


async def test_types_times_and_positions_select_events(exported: ExportedLog) -> None:
    conversation = FakeConversation()
    for number in range(6):
        conversation.submitted(str(number))
    await exported.log.append(conversation)
    await exported.export(types=(MessageSubmitted.TYPE,), since=MORNING + timedelta(minutes=3))
    assert [row["sequence"] for row in exported.rows()] == [4, 5, 6, 7]
    partition = exported.rows()[0]["log_partition"]
    ranged = ExportedLog(exported.log, exported.folder.with_name("range"))
    await ranged.export(starts={partition: 2}, ends={partition: 4})
    assert [row["sequence"] for row in ranged.rows()] == [3, 4]
    until = ExportedLog(exported.log, exported.folder.with_name("until"))
    await until.export(until=MORNING + timedelta(minutes=1))
    assert [row["sequence"] for row in until.rows()] == [1, 2]


async def test_ndjson_has_the_lines_of_tail_and_arrow_the_rows_of_parquet(
    exported: ExportedLog,
) -> None:
    await exported.log.append(FakeConversation().submitted("Hello").replied("Hi"))
    lines = ExportedLog(exported.log, exported.folder.with_name("lines"))
    manifest = await lines.export(file_format="ndjson")
    events = [
        json.loads(line)
        for file in manifest.files
        for line in (lines.folder / file.path).read_text().splitlines()
    ]
    tailed = await exported.log.events(limit=10)
    assert sorted(events, key=lambda e: e["sequence"]) == tailed
    await exported.export()
    arrow = ExportedLog(exported.log, exported.folder.with_name("arrow"))
    manifest = await arrow.export(file_format="arrow")
    for file in manifest.files:
        table = pa.ipc.open_file(arrow.folder / file.path).read_all()
        parquet = exported.folder / file.path.replace(".arrow", ".parquet")
        assert table.equals(pq.read_table(parquet, partitioning=None))


async def test_a_folder_with_an_export_needs_continue(exported: ExportedLog) -> None:
    await exported.log.append(FakeConversation())
    await exported.export()
    with pytest.raises(CommandError, match="--continue"):
        await exported.export()
    with pytest.raises(CommandError, match="another selection"):
        await exported.export(resume=True, types=(SessionStarted.TYPE,))


async def test_files_of_an_interrupted_run_do_not_count_and_are_deleted(
    exported: ExportedLog,
) -> None:
    await exported.log.append(FakeConversation().submitted("One"))
    complete = await exported.export()
    stray = exported.folder / complete.files[0].path.replace("part-000001", "part-000009")
    stray.write_bytes(b"half a file")
    await exported.log.append(FakeConversation())
    await exported.export(resume=True)
    assert not stray.exists()
    assert len(exported.rows()) == 3


async def test_an_interrupted_export_is_not_taken_for_a_whole_one(
    exported: ExportedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await exported.log.append(FakeConversation().submitted("One"))
    monkeypatch.setattr("parley_cli.log.dataset.export_writer.ExportWriter.complete", _killed)
    with pytest.raises(KeyboardInterrupt):
        await exported.export()
    with pytest.raises(NoExport, match="--continue"):
        load_manifest(exported.storage)
    monkeypatch.undo()
    await exported.export(resume=True)
    assert len(exported.rows()) == 2


def _killed(_: object) -> Iterator[None]:
    raise KeyboardInterrupt


async def test_a_lost_topic_is_named(exported: ExportedLog) -> None:
    await exported.log.append(FakeConversation().submitted("One"))
    await exported.export()
    manifest = (exported.folder / "manifest.json").read_text()
    stream = json.loads(manifest)
    positions = stream["streams"]["sessions"]["positions"]
    stream["streams"]["sessions"]["positions"] = {name: at + 100 for name, at in positions.items()}
    (exported.folder / "manifest.json").write_text(json.dumps(stream))
    with pytest.raises(CommandError, match="parley log restore"):
        await exported.export(resume=True)


async def test_a_manifest_of_another_format_is_refused(exported: ExportedLog) -> None:
    await exported.log.append(FakeConversation())
    await exported.export()
    path = exported.folder / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(NoExport, match="format 2"):
        load_manifest(exported.storage)
