"""Records Kafka's start cache unless the user's cache folder has one of this environment.

The tests start Kafka some seventy times, for half of the processor time with it.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from parley_cli.engines import free_port, record_kafka_aot_cache
from parley_cli.settings import user_cache_folder


def main() -> None:
    cache = user_cache_folder()
    with TemporaryDirectory(prefix="parley-kafka-") as folder:
        asyncio.run(record_kafka_aot_cache(Path(folder), cache, free_port(), free_port()))


if __name__ == "__main__":
    main()
