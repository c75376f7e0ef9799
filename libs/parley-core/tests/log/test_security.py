"""TLS and SASL authentication against a secured Kafka."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import pytest_asyncio
from core_fakes.secured_kafka import PASSWORD, USER, SecuredKafka, secured_kafka

from parley_core.log import Brokers, GroupReader, LogError, LogReader, LogWriter, ensure_topic
from parley_core.log.kafka_settings import KafkaSettings
from parley_core.runtime.settings import InvalidSettings, Prefix, Settings, load
from parley_events.cloudevents import Record
from parley_events.topics import TopicSpec

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORD = Record(b"key", [("n", b"1")], b"value")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
TLS = {"security_protocol": "SSL", "ssl_ca_path": "authority.pem"}
CERTIFICATE = TLS | {"ssl_certificate_path": "client.pem"}
LOGIN = TLS | {
    "security_protocol": "SASL_SSL",
    "sasl_username": USER,
    "sasl_password": PASSWORD,
}
TOKEN = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_token_path": "token",
}
ACCEPTED = [
    ("tls", CERTIFICATE),
    *(("password", LOGIN | {"sasl_mechanism": mechanism}) for mechanism in MECHANISMS),
    ("token", TOKEN),
]


class ProcessSettings(Settings):
    kafka: Annotated[KafkaSettings, Prefix("PARLEY_KAFKA_")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kafka(
    tmp_path_factory: pytest.TempPathFactory, engine_cache: Path
) -> AsyncIterator[SecuredKafka]:
    async with secured_kafka(tmp_path_factory.mktemp("kafka"), engine_cache) as server:
        yield server


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PARLEY_KAFKA")]:
        monkeypatch.delenv(name)


def brokers_of(
    kafka: SecuredKafka, listener: str, security: dict[str, str], monkeypatch: Any
) -> Brokers:
    """Load the settings of a process with these variables."""
    monkeypatch.setenv("PARLEY_KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_of(listener))
    for name, value in security.items():
        path = str(kafka.files / value) if name.endswith("_path") else value
        monkeypatch.setenv(f"PARLEY_KAFKA_{name.upper()}", path)
    return load(ProcessSettings).kafka.brokers


@pytest.mark.parametrize(("listener", "security"), ACCEPTED)
async def test_a_client_with_valid_credentials_writes_and_reads(
    kafka: SecuredKafka,
    listener: str,
    security: dict[str, str],
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brokers = brokers_of(kafka, listener, security, monkeypatch)
    await ensure_topic(brokers, TopicSpec(topic, 1, 1, 1))
    writer, reader = LogWriter(brokers, topic), LogReader(brokers, topic)
    group = GroupReader(brokers, topic, topic, beginning)
    await writer.start()
    await reader.start()
    await group.start()
    try:
        assert (await writer.append([RECORD], timeout=5)).error is None
        reader.seek(await reader.beginning_positions())
        for read in (reader.read, group.read):
            [entry] = await read(timeout=5)
            assert entry.record == RECORD
    finally:
        for client in (writer, reader, group):
            await client.close()


@pytest.mark.parametrize(
    ("listener", "security"),
    [
        ("tls", TLS),
        ("tls", {"security_protocol": "PLAINTEXT"}),
        ("password", LOGIN | {"sasl_mechanism": "SCRAM-SHA-256", "sasl_password": "wrong"}),
        ("password", LOGIN | {"sasl_mechanism": "PLAIN", "sasl_password": "wrong"}),
        ("password", CERTIFICATE),
        # Another certificate authority did not sign the brokers' certificates.
        ("password", {k: v for k, v in LOGIN.items() if k != "ssl_ca_path"}),
        ("token", {"security_protocol": "PLAINTEXT"}),
    ],
)
async def test_the_error_of_invalid_credentials_contains_no_password(
    kafka: SecuredKafka,
    listener: str,
    security: dict[str, str],
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brokers = brokers_of(kafka, listener, security, monkeypatch)
    writer = LogWriter(brokers, topic)
    with pytest.raises(LogError, match="cannot be written") as error:
        await writer.start(timeout=3)
    assert "wrong" not in f"{error.value} {brokers}"
    assert PASSWORD not in f"{error.value} {brokers}"


@pytest.mark.parametrize(
    ("security", "sentence"),
    [
        ({"security_protocol": "TLS"}, "It should be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."),
        ({"security_protocol": "SASL_SSL"}, "SCRAM-SHA-512 needs both."),
        (TOKEN | {"sasl_token_path": ""}, "OAUTHBEARER needs it: the path of a file"),
        (TOKEN | {"sasl_mechanism": "GSSAPI"}, "It should be PLAIN, SCRAM-SHA-256"),
        (TLS | {"ssl_ca_path": "missing.pem"}, "No such file or directory. They should be"),
        (TLS | {"ssl_ca_path": "token"}, "PARLEY_KAFKA_SSL_CA_PATH"),
    ],
)
async def test_unusable_security_settings_are_rejected_at_startup(
    security: dict[str, str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "token").write_text("no certificate")
    (tmp_path / "authority.pem").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLEY_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    for name, value in security.items():
        monkeypatch.setenv(f"PARLEY_KAFKA_{name.upper()}", value)
    with pytest.raises(InvalidSettings) as wrong:
        load(ProcessSettings)
    assert sentence in str(wrong.value)


async def beginning(partitions: Any) -> dict[int, int]:
    return dict.fromkeys(partitions, 0)
