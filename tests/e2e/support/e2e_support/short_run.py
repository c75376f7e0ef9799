"""The `parley` command with a Kafka for a short run: less to compile, and small new files."""

import sys

from parley_cli.__main__ import main
from parley_cli.engines.kafka import kafka_server
from parley_cli.engines.kafka.kafka_server import JAVA_OPTIONS, SHORT_RUN_OPTIONS, KafkaServer

KafkaServer.java_options = [*SHORT_RUN_OPTIONS, *JAVA_OPTIONS]
kafka_server.PROPERTIES += """\
offsets.topic.num.partitions=1
log.index.size.max.bytes=65536
"""

if __name__ == "__main__":
    sys.exit(main())
