"""Decodes the records of an import one by one, so that a bad one does not hide the others."""

from collections.abc import Sequence

import msgspec

from parley_contracts.session_api.imports import BadRecord, ImportedMessage
from parley_session.api.request_parsing import DECODE_ERRORS, describe
from parley_session.application.sessions.imported_records import GivenRecord

_decode = msgspec.json.Decoder(ImportedMessage).decode


def decode_records(raw: Sequence[msgspec.Raw]) -> list[GivenRecord]:
    return [_record(index, each) for index, each in enumerate(raw)]


def _record(index: int, raw: msgspec.Raw) -> GivenRecord:
    try:
        return _decode(raw)
    except DECODE_ERRORS as error:
        message, field = describe(error)
        param = ".".join(filter(None, ("messages", str(index), field)))
        return BadRecord(index, param, "invalid_request", message)
