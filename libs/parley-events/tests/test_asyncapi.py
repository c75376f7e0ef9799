"""The AsyncAPI document and examples match the event models; other tools can read them."""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from parley_core.log import Brokers, LogWriter, ensure_topic
from parley_events.asyncapi.__main__ import main
from parley_events.asyncapi.document import asyncapi_document, asyncapi_yaml
from parley_events.asyncapi.examples import BEGIN, END
from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE
from parley_events.golden import golden, golden_record
from parley_events.session import DATA_BY_TYPE
from parley_events.topics import TopicSpec

DOCS = Path(__file__).parents[3] / "docs"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["asyncapi", *map(str, arguments)])
    return main()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events.md").write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    return tmp_path


def test_the_documents_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--check", DOCS) == 0


def test_every_schema_has_its_name_as_its_title() -> None:
    schemas = asyncapi_document()["components"]["schemas"]
    assert len(schemas) > len(ALL_DATA_BY_TYPE)
    assert {name: schema["title"] for name, schema in schemas.items()} == {
        name: name for name in schemas
    }


def test_generated_files_pass_the_check_and_surrounding_text_is_preserved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "--check", folder) == 1
    assert run(monkeypatch, folder) == 0
    assert run(monkeypatch, "--check", folder) == 0
    page = (folder / "events.md").read_text()
    assert page.startswith("# Before\n")
    assert page.endswith("\nAfter.\n")
    assert page.count("### parley.") == len(ALL_DATA_BY_TYPE)
    assert "\nold\n" not in page


@pytest.mark.parametrize("name", ["asyncapi.yaml", "events.md"])
def test_the_check_names_an_outdated_document(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, folder)
    document = folder / name
    document.write_text(document.read_text().replace("message_submitted", "message_sent"))
    assert run(monkeypatch, "--check", folder) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"Out of date: {document}. ")


def test_a_page_without_markers_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.md").write_text("# Events\n")
    assert run(monkeypatch, tmp_path) == 1
    assert "must contain the lines" in capsys.readouterr().err


def test_every_reference_in_the_document_resolves() -> None:
    document = asyncapi_document()
    references = set(_references(document))
    assert "#/components/schemas/ReplyCompleted" in references
    for reference in references:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_example_has_exactly_the_fields_of_its_schema() -> None:
    components = asyncapi_document()["components"]
    headers = components["schemas"]["Headers"]
    for event_type, data in ALL_DATA_BY_TYPE.items():
        [example] = components["messages"][data.__name__]["examples"]
        schema = components["schemas"][data.__name__]
        for described, shown in ((schema, "payload"), (headers, "headers")):
            given = set(example[shown])
            assert set(described["required"]) <= given <= set(described["properties"]), event_type


def test_every_event_has_a_summary() -> None:
    for data in ALL_DATA_BY_TYPE.values():
        assert (data.__doc__ or "").rstrip().endswith("."), data.__name__


def test_the_document_is_deterministic() -> None:
    assert asyncapi_yaml() == asyncapi_yaml()
    assert "null" not in asyncapi_yaml()


@pytest.mark.parametrize("event_type", ALL_DATA_BY_TYPE)
def test_the_cloudevents_library_reads_each_record(event_type: str) -> None:
    record = golden_record(event_type)
    event = from_binary_event(KafkaMessage(dict(record.headers), record.key, record.value))
    stored = golden(event_type)
    assert event.get_type() == event_type
    assert event.get_subject() == stored["key"]
    assert event.get_extension("sequence") == stored["headers"]["ce_sequence"]
    assert event.get_data() == stored["value"]


async def test_the_example_code_of_the_page_reads_a_topic(kafka_bootstrap: str, topic: str) -> None:
    records = [golden_record(event_type) for event_type in DATA_BY_TYPE]
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    writer = LogWriter(Brokers(kafka_bootstrap), topic)
    await writer.start()
    assert (await writer.append(records, timeout=15)).error is None
    await writer.close()

    [code] = re.findall(r"```python\n(.*?)```", (DOCS / "events.md").read_text(), re.DOTALL)
    code = code.replace("parley.sessions.v1", topic)
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, kafka_bootstrap, stdout=asyncio.subprocess.PIPE
    )
    assert reader.stdout is not None
    async with asyncio.timeout(20):
        lines = [(await reader.stdout.readline()).decode() for _ in records]
    reader.kill()
    await reader.wait()
    assert [line.split()[2] for line in lines] == list(DATA_BY_TYPE)
    assert all("'actor'" in line for line in lines)


def _references(part: Any) -> Iterator[str]:
    for each in part.values() if isinstance(part, dict) else part:
        if isinstance(each, dict | list):
            yield from _references(each)
    if isinstance(part, dict) and "$ref" in part:
        yield part["$ref"]
