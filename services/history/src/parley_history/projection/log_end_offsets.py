"""How far the log goes, asked by a client that does nothing else."""

import asyncio
from collections.abc import Mapping

from parley_core.log import Brokers, LogError, LogReader, LogUnreachable


class LogEnds:
    def __init__(self, brokers: Brokers, topic: str, *, seconds: float) -> None:
        self._brokers, self._topic, self._seconds = brokers, topic, seconds
        self._reader: LogReader | None = None

    async def read(self) -> Mapping[int, int]:
        """The position after the last record of each partition. Raises LogError."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._ask()
        except TimeoutError:
            await self.close()
            raise LogUnreachable(f"The ends of {self._topic} are not told in time.") from None
        except LogError:
            await self.close()
            raise

    async def close(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await reader.close()

    async def _ask(self) -> Mapping[int, int]:
        if self._reader is None:
            self._reader = LogReader(self._brokers, self._topic)
            await self._reader.start(self._seconds)
        return await self._reader.end_positions()
