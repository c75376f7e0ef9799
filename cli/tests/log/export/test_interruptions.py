"""Exports that are killed, refused, or find a log that lacks records."""

import asyncio
import multiprocessing
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from cli_fakes.conversation import FakeConversation, append
from cli_fakes.exported_log import SMALL_PARTS, ExportedLog, export_until_killed
from cli_fakes.object_store import ObjectStore, object_store

from parley_cli.errors import CommandError
from parley_cli.log.dataset.manifest import NoExport, load_manifest, load_progress
from parley_cli.log.dataset.storage_location import StorageError, storage_at
from parley_cli.log.export.command import ExportOptions, run_export
from parley_cli.log.export.verify import damaged_files
from parley_cli.log.generation.command import simulated_events
from parley_core.log import Brokers
from parley_events.cloudevents import encode

KILLS = 20
MAX_FILE_OPERATIONS = 150


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with object_store() as store:
        yield store


@pytest.mark.timeout(300)
async def test_an_export_killed_twenty_times_equals_one_made_in_one_go(
    exported: ExportedLog, tmp_path: Path
) -> None:
    records = [encode(event) for event, _ in simulated_events(100, seed=5, days=2)]
    for start in range(0, len(records), 500):
        batch = records[start : start + 500]
        await append(exported.log.brokers, exported.log.topic, [*batch, *batch[:50]])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["parley_cli.log.export.command"])
    target = (exported.log.brokers.bootstrap, exported.log.topic, str(exported.folder))
    random, revisions = Random(1), set()
    for _ in range(KILLS):
        operations = random.randint(1, MAX_FILE_OPERATIONS)
        process = context.Process(target=export_until_killed, args=(*target, operations))
        process.start()
        await asyncio.to_thread(process.join)
        assert process.exitcode == -signal.SIGKILL
        complete, current = load_progress(exported.storage)
        assert complete is None
        with pytest.raises(NoExport):
            load_manifest(exported.storage)
        revisions.add(current.revision if current else 0)
    assert len(revisions) > KILLS / 4
    await exported.export(resume=True, limits=SMALL_PARTS)
    whole = ExportedLog(exported.log, tmp_path / "whole")
    await whole.export()
    assert len(whole.rows()) == len(records)
    assert exported.rows() == whole.rows()
    named = load_manifest(exported.storage).paths | {"manifest.json"}
    assert set(exported.storage.paths()) == named


async def test_a_full_disk_is_named_and_leaves_nothing_that_looks_whole(
    exported: ExportedLog,
) -> None:
    await exported.log.append(FakeConversation().submitted("Hello " * 2_000))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))
    try:
        with pytest.raises(StorageError, match="--continue"):
            await exported.export()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not [path for path in exported.storage.paths() if path.endswith(".partial")]
    with pytest.raises(NoExport):
        load_manifest(exported.storage)
    await exported.export(resume=True)
    assert len(exported.rows()) == 2


async def test_a_log_cut_by_retention_is_named(exported: ExportedLog) -> None:
    conversation = FakeConversation().submitted("One").submitted("Two")
    await exported.log.append(conversation)
    await exported.export()
    partition = exported.rows()[0]["log_partition"]
    admin = AIOKafkaAdminClient(bootstrap_servers=exported.log.brokers.bootstrap)
    await admin.start()
    target = TopicPartition(exported.log.topic, partition)
    await admin.delete_records({target: RecordsToDelete(before_offset=2)})
    await admin.close()
    cut = ExportedLog(exported.log, exported.folder.with_name("cut"))
    with pytest.raises(CommandError, match=f"--from {partition}:2"):
        await cut.export()
    rest = ExportedLog(exported.log, exported.folder.with_name("rest"))
    await rest.export(starts={partition: 2})
    assert rest.positions() == [(str(conversation.id), 3)]
    # What was exported before is a whole copy, and continues.
    await exported.log.append(FakeConversation())
    await exported.export(resume=True)
    assert len(exported.rows()) == 4


def test_ctrl_c_names_the_command_that_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("parley_cli.log.export.command.export_log", interrupted)
    storage = storage_at(str(tmp_path / "export"))
    with pytest.raises(KeyboardInterrupt):
        run_export(Brokers("localhost:1"), storage, ExportOptions(None), lambda: None)  # type: ignore[arg-type, return-value]
    assert "--continue" in capsys.readouterr().err


async def test_a_bucket_gets_the_files_of_a_folder(
    exported: ExportedLog, store: ObjectStore
) -> None:
    await exported.log.append(FakeConversation().submitted("Hello").replied("Hi"))
    await exported.export()
    bucket = ExportedLog(exported.log, exported.folder)
    bucket.storage = storage_at(store.url("parley/all"))
    await bucket.export()
    await bucket.export(resume=True)
    for path in load_manifest(exported.storage).paths:
        if path.startswith("sessions/"):
            content = (exported.folder / path).read_bytes()
            assert store.objects[f"parley/all/{path}"] == content
    assert list(damaged_files(bucket.storage, load_manifest(bucket.storage))) == []


async def test_a_bucket_that_refuses_is_named(exported: ExportedLog, store: ObjectStore) -> None:
    store.refuses = True
    exported.storage = storage_at(store.url("parley"))
    with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID"):
        await exported.export()
    assert store.objects == {}
