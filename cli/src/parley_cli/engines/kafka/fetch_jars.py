"""Fetches Kafka's jars in a process of its own, which can be ended in the middle.

Run as `python -m parley_cli.engines.kafka.fetch_jars CACHE`.
"""

import sys
from pathlib import Path

from parley_cli.engines.errors import EngineError
from parley_cli.engines.kafka.jars import kafka_jars

if __name__ == "__main__":
    try:
        kafka_jars(Path(sys.argv[1]))
    except EngineError as failed:
        sys.exit(str(failed))
