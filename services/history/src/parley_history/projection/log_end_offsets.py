"""End offsets of the log's partitions, read by a dedicated client."""

import asyncio
from collections.abc import Mapping

from parley_core.log import Brokers, LogError, LogReader, LogUnreachable

TIMEOUT_SECONDS = 5


class LogEndOffsets:
    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers, self._topic = brokers, topic
        self._reader: LogReader | None = None

    async def read(self) -> Mapping[int, int]:
        """Return the offset after the last record of each partition. Raises LogError."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._read()
        except TimeoutError:
            await self.close()
            raise LogUnreachable(f"Reading the end offsets of {self._topic} timed out.") from None
        except LogError:
            await self.close()
            raise

    async def close(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await reader.close()

    async def _read(self) -> Mapping[int, int]:
        if self._reader is None:
            self._reader = LogReader(self._brokers, self._topic)
            await self._reader.start(TIMEOUT_SECONDS)
        return await self._reader.end_positions()
