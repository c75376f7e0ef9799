"""The example consumers of docs/analysts.md do what they promise."""

import importlib.util
import sqlite3
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from parley_cli.log.dataset.export_writer import ExportWriter
from parley_cli.log.dataset.manifest import Manifest, Selection
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.generation.command import simulated_events, write_sessions
from parley_core.log import Brokers, LogWriter, ensure_topic
from parley_events.cloudevents import Record, encode
from parley_events.session import ReplyCompleted
from parley_events.topics import TopicSpec

EXAMPLES = Path(__file__).parents[1] / "examples"
IDLE_SECONDS = 3


def example(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


async def append(bootstrap: str, topic: str, records: list[Record]) -> None:
    writer = LogWriter(Brokers(bootstrap), topic)
    await writer.start()
    for start in range(0, len(records), 500):
        assert (await writer.append(records[start : start + 500], timeout=20)).error is None
    await writer.close()


async def test_a_consumer_that_was_killed_counts_each_reply_once(
    kafka_bootstrap: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [event for event, _ in simulated_events(60, seed=2, days=2)]
    records = [encode(event) for event in events]
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    await append(kafka_bootstrap, topic, records[:400] + records[300:])
    consumer, database = example("exactly_once"), str(tmp_path / "replies.sqlite")
    apply, applied = consumer.apply, 0

    def killed_now_and_then(store: sqlite3.Connection, event: object) -> None:
        nonlocal applied
        applied += 1
        apply(store, event)
        if applied in (150, 500):
            raise KeyboardInterrupt

    monkeypatch.setattr(consumer, "apply", killed_now_and_then)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            consumer.follow(kafka_bootstrap, database, topic, IDLE_SECONDS)
    consumer.follow(kafka_bootstrap, database, topic, IDLE_SECONDS)
    with sqlite3.connect(database) as store:
        counted = dict(store.execute("SELECT model, count FROM replies").fetchall())
    store.close()
    completed = [event.data for event in events if isinstance(event.data, ReplyCompleted)]
    assert counted == Counter(each.model for each in completed)


def test_a_metric_is_filled_from_an_export(tmp_path: Path) -> None:
    events = list(simulated_events(60, seed=2, days=2))
    manifest = Manifest(selection=Selection(file_format="ndjson"))
    writer = ExportWriter(storage_at(str(tmp_path)), manifest)
    write_sessions(writer, iter(events), content=False)
    writer.complete()
    longest: dict[str, int] = {}
    for event, _ in events:
        if isinstance(event.data, ReplyCompleted) and event.data.usage:
            tokens = event.data.usage.completion_tokens
            longest[event.data.model] = max(longest.get(event.data.model, 0), tokens)
    assert longest
    assert example("backfill").backfill(tmp_path) == longest
