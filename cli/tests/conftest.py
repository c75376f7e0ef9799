"""Fixtures of a topic, and of `parley log tail` and `export` on it."""

from pathlib import Path

import pytest
from cli_fakes.exported_log import ExportedLog
from cli_fakes.tailed_log import Output, TailedLog

from parley_core.log import Brokers, ensure_topic
from parley_events.topics import TopicSpec


@pytest.fixture
async def topic(kafka_bootstrap: str, topic: str) -> str:
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    return topic


@pytest.fixture
def log(kafka_bootstrap: str, topic: str, capsys: Output) -> TailedLog:
    return TailedLog(Brokers(kafka_bootstrap), topic, capsys)


@pytest.fixture
def exported(log: TailedLog, tmp_path: Path) -> ExportedLog:
    return ExportedLog(log, tmp_path / "export")
