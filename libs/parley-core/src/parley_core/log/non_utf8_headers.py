"""Makes aiokafka give out records whose headers have names that are not UTF-8.

Any client but a Java one can write such a record. aiokafka 0.14 gives up at it, for good: what lies
behind it in the partition would never be read. Here the bytes that are no UTF-8 are escaped.
"""

from collections.abc import Iterator
from itertools import islice
from struct import Struct
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

# A batch begins with its first offset and its length: https://kafka.apache.org/documentation/#recordbatch
_HEAD = Struct(">qi")


class RecordsWithAnyHeader(MemoryRecords):  # type: ignore[misc]
    """What a broker answered for one partition, as batches that can be read."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self._answer = answer

    def next_batch(self) -> Any:
        batch = super().next_batch()
        return None if batch is None else _ReadableBatch(batch, self._answer)


class _ReadableBatch:
    def __init__(self, batch: Any, answer: bytes) -> None:
        self._batch, self._answer = batch, answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        given = 0
        try:
            for record in self._batch:
                yield record
                given += 1
        except UnicodeDecodeError:
            yield from islice(self._escaped(), given, None)

    def _escaped(self) -> Any:
        """The batch once more, in aiokafka's slow way."""
        place, (offset, length) = 0, _HEAD.unpack_from(self._answer)
        while offset != self._batch.base_offset:
            place += _HEAD.size + length
            offset, length = _HEAD.unpack_from(self._answer, place)
        batch: Any = _DefaultRecordBatchPy(self._answer[place : place + _HEAD.size + length])
        batch._maybe_uncompress()
        batch._buffer = _Escaping(batch._buffer)
        return batch


class _Escaping(bytes):
    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return found if isinstance(found, int) else _Escaping(found)

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def read_all_records() -> None:
    """From here on every consumer of this process does; aiokafka has no place to say it to one."""
    fetcher.MemoryRecords = RecordsWithAnyHeader
