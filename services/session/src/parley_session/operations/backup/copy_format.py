"""Reads rows from files in the text format of COPY, also several files stream by stream."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import BinaryIO, TypeAlias

Row: TypeAlias = dict[str, str | None]

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def rows_in(file: BinaryIO, columns: Sequence[str]) -> Iterator[Row]:
    """Raises ValueError, which quotes nothing, if a line has the wrong number of columns."""
    with file:
        for line in file:
            fields = line.decode().removesuffix("\n").split("\t")
            if len(fields) != len(columns):
                raise ValueError("a row has the wrong number of columns")
            yield dict(zip(columns, map(_value, fields), strict=True))


def _value(field: str) -> str | None:
    if "\\" not in field:
        return field
    if field == "\\N":
        return None
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), field)


class RowsByStream:
    """Rows sorted by stream id, read once in that order."""

    def __init__(self, rows: Iterable[Row], column: str) -> None:
        self._streams = groupby(rows, key=lambda row: row[column] or "")
        self._next = next(self._streams, None)

    def before(self, stream_id: str | None) -> Iterator[str]:
        """Ids of the streams up to this one that were not read; None reads to the end."""
        while self._next and (stream_id is None or self._next[0] < stream_id):
            yield self._next[0]
            self._next = next(self._streams, None)

    def of(self, stream_id: str) -> Iterator[Row]:
        """Rows of the stream; consume them before the next call."""
        if self._next and self._next[0] == stream_id:
            _, rows = self._next
            yield from rows
            self._next = next(self._streams, None)
