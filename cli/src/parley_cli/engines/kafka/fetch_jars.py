"""Downloads the jars of Kafka in a separate process, which can be killed at any time.

Run as `python -m parley_cli.engines.kafka.fetch_jars CACHE`.
"""

import sys
from pathlib import Path

from parley_cli.engines.errors import EngineError
from parley_cli.engines.kafka.jars import kafka_jars

if __name__ == "__main__":
    try:
        kafka_jars(Path(sys.argv[1]))
    except EngineError as error:
        sys.exit(str(error))
