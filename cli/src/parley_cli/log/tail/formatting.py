"""Formats log records as lines of text for people or as CloudEvents in JSON for programs."""

import base64
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.cells import cell_len, set_cell_size

from parley_cli.log.tail.log_record import UNKNOWN_TIME, LogRecord
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.session import Event

UnsealedFields = Mapping[str, Any]
"""For each sealed field, its content (an object) or the reason that it cannot be opened (a str)."""

DEFAULT_TENANT = "default"
SHORT_SESSION = 8
DETAIL_FIELDS = (
    *("outcome", "client_address"),
    *("assistant_id", "model", "finish_reason", "code"),
)


def as_json(record: LogRecord, unsealed: UnsealedFields | None = None) -> str:
    """One line: the CloudEvent in JSON format, with its partition and offset.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    position = {"partition": record.partition, "offset": record.offset}
    try:
        event, data = _decode(record)
    except UndecodableRecord as error:
        return _json(position | {"undecodable": str(error)} | _undecoded(record))
    headers = {name: value.decode(errors="replace") for name, value in record.raw.headers}
    attributes: dict[str, Any] = {
        name.removeprefix("ce_"): text for name, text in headers.items() if name.startswith("ce_")
    }
    attributes["sequence"] = event.sequence
    attributes["datacontenttype"] = headers.get("content-type", "application/json")
    if event.traceparent is not None:
        attributes["traceparent"] = event.traceparent
    for field, content in (unsealed or {}).items():
        data[field] = {"hidden": content} if isinstance(content, str) else content
    return _json(position | attributes | {"data": data})


def as_lines(
    record: LogRecord, unsealed: UnsealedFields | None = None, columns: int | None = None
) -> Iterator[str]:
    """One line without message content, then the unsealed fields, indented.

    With `columns`, the line has a shorter form that fits; the fields are in full.
    """
    fits = columns is not None
    time = "no time" if record.time == UNKNOWN_TIME else _format_time(record, short=fits)
    position = f"{record.partition}:{record.offset}"
    try:
        event, data = _decode(record)
    except UndecodableRecord as error:
        session = (record.session[:SHORT_SESSION] if fits else record.session) or "no session"
        yield _joined([time, session], [f"cannot be decoded: {error}"], position, columns)
        return
    session = str(event.session_id)
    begin = [
        time,
        session[:SHORT_SESSION] if fits else session,
        f"{event.sequence:>4}",
        # All records of the audit trail have one type, so the action stands in its place.
        f"{data.get('action') or _short_type(event):<18}",
    ]
    actor = _format_actor(data.get("actor"))
    details = [*_details(data)]
    # The type of an event already says that Parley itself, "(…)", is its actor.
    middle = details if fits and details and actor.startswith("(") else [actor, *details]
    yield _joined(begin, middle, position, columns)
    for field, content in (unsealed or {}).items():
        yield from _field_lines(field, content)


def _joined(begin: Sequence[str], middle: Sequence[str], end: str, columns: int | None) -> str:
    """The parts on one line; the middle is cut off so that the line fits into the columns."""
    if columns is None:
        return "  ".join(map(_printable, [*begin, *middle, end]))
    first, text = _printable(" ".join(begin)), _printable(" ".join(middle))
    room = max(1, columns - cell_len(first) - cell_len(end) - 2)
    if cell_len(text) > room:
        text = f"{set_cell_size(text, room - 1).rstrip()}…"
    return f"{first} {text} {end}"


def _decode(record: LogRecord) -> tuple[Event, dict[str, Any]]:
    """The event, and its data exactly as in the log. Raises UndecodableRecord."""
    event = decode(record.raw)
    try:
        return event, msgspec.json.decode(record.raw.value, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        # `decode` is more lenient: NaN, UTF-16, lone surrogates.
        raise UndecodableRecord("the value is not strict JSON") from None


def _json(line: Mapping[str, Any]) -> str:
    return msgspec.json.encode(line).decode()


def _undecoded(record: LogRecord) -> dict[str, Any]:
    return {
        "key": record.session,
        "headers": [[n, v.decode(errors="replace")] for n, v in record.raw.headers],
        "data_base64": base64.b64encode(record.raw.value).decode(),
    }


def _format_time(record: LogRecord, *, short: bool) -> str:
    if short:
        return f"{record.time:%m-%d %H:%M:%S}"
    return record.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short_type(event: Event) -> str:
    """`reply_completed` for `parley.session.reply_completed.v1`; later versions keep theirs."""
    parts = event.type.split(".")
    if len(parts) != 4:
        return event.type
    return parts[2] if parts[3] == "v1" else f"{parts[2]}.{parts[3]}"


def _format_actor(actor: Any) -> str:
    if not isinstance(actor, dict):
        return "?"
    user, tenant = str(actor.get("user")), actor.get("tenant")
    if actor.get("system"):
        return f"({user})"
    return user if tenant == DEFAULT_TENANT else f"{tenant}/{user}"


def _details(data: Mapping[str, Any]) -> Iterator[str]:
    for name in DETAIL_FIELDS:
        if isinstance(value := data.get(name), str):
            yield value
    for each in data.get("objects") or ():
        if isinstance(each, dict):
            yield f"{each.get('kind')} {each.get('id')}"
    if isinstance(left_out := data.get("left_out"), int):
        yield f"{left_out} more"
    if isinstance(usage := data.get("usage"), dict):
        approximately = "~" if usage.get("estimated") else ""
        tokens = f"{usage.get('prompt_tokens')}+{usage.get('completion_tokens')} tokens"
        yield f"{approximately}{tokens}"
    if isinstance(duration := data.get("total_ms"), int):
        yield f"{duration} ms"


def _field_lines(field: str, content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield f"    {field}: ({content})"
        return
    only_text = content.get("text") if content.keys() == {"text"} else None
    text = only_text if isinstance(only_text, str) else _json(content)
    first, *rest = text.split("\n")
    yield f"    {field}: {_printable(first)}"
    for line in rest:
        yield f"      {_printable(line)}".rstrip()


def _printable(text: str) -> str:
    """Escape control characters, which a terminal would execute."""
    return "".join(
        f"\\u{ord(each):04x}" if unicodedata.category(each) in ("Cc", "Cs") else each
        for each in text.expandtabs()
    )
