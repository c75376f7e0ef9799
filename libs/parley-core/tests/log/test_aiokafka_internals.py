"""Records with undecodable header names are read like any other, and so are those after them."""

import struct

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from parley_core.log.aiokafka_internals import RecordsWithAnyHeader

PLAIN, LZ4 = 0, 3


class NotUtf8(str):
    """A header name as written by a client that accepts any bytes."""

    def encode(self, *_: str) -> bytes:
        return b"\xffname"


def batch(*names: NotUtf8 | str, first_offset: int, compression: int) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 10_000)
    for number, name in enumerate(names):
        builder.append(number, timestamp=1, key=b"key", value=b"value", headers=[(name, b"1")])
    written = builder.build()
    struct.pack_into(">q", written, 0, first_offset)
    return bytes(written)


@pytest.mark.parametrize("compression", [PLAIN, LZ4])
def test_a_header_name_that_is_not_utf_8_is_escaped_and_later_records_are_read(
    compression: int,
) -> None:
    response = batch("a", NotUtf8(), "b", first_offset=7, compression=compression)
    records = RecordsWithAnyHeader(
        response + batch("c", NotUtf8(), first_offset=10, compression=PLAIN)
    )
    found = []
    while records.has_next():
        found += records.next_batch()
    assert [record.offset for record in found] == [7, 8, 9, 10, 11]
    assert [record.headers[0][0] for record in found] == ["a", r"\xffname", "b", "c", r"\xffname"]
    assert {(record.key, record.value) for record in found} == {(b"key", b"value")}
