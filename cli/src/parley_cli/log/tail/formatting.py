"""A record as somebody is shown it: a line for people, or JSON for programs."""

import base64
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from parley_cli.log.tail.log_record import LONG_AGO, LogRecord
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.session import Event

Opened = Mapping[str, Any]
"""For each sealed field what was in it (an object), or why that cannot be told (a text)."""

DEFAULT_TENANT = "default"
FACTS = ("assistant_id", "model", "finish_reason", "code")


def as_json(found: LogRecord, opened: Opened | None = None) -> str:
    """One line: a CloudEvent in JSON, with its place in the log.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    place = {"partition": found.partition, "offset": found.offset}
    try:
        event, data = _read(found)
    except UndecodableRecord as trouble:
        return _json(place | {"undecodable": str(trouble)} | _raw(found))
    headers = {name: value.decode(errors="replace") for name, value in found.record.headers}
    attributes: dict[str, Any] = {
        name.removeprefix("ce_"): text for name, text in headers.items() if name.startswith("ce_")
    }
    attributes["sequence"] = event.sequence
    attributes["datacontenttype"] = headers.get("content-type", "application/json")
    if event.traceparent is not None:
        attributes["traceparent"] = event.traceparent
    for field, content in (opened or {}).items():
        data[field] = {"hidden": content} if isinstance(content, str) else content
    return _json(place | attributes | {"data": data})


def as_lines(found: LogRecord, opened: Opened | None = None) -> Iterator[str]:
    """The event on one line without any text of a person's; what was opened, below it."""
    time = "no time" if found.time == LONG_AGO else _time(found)
    place = f"{found.partition}:{found.offset}"
    try:
        event, data = _read(found)
    except UndecodableRecord as trouble:
        session = _printable(found.session) or "no session"
        yield f"{time}  {session}  cannot be decoded: {_printable(str(trouble))}  {place}"
        return
    parts = [
        time,
        str(event.session_id),
        f"{event.sequence:>4}",
        f"{_short(event):<18}",
        _who(data.get("actor")),
        *_facts(data),
        place,
    ]
    yield "  ".join(map(_printable, parts))
    for field, content in (opened or {}).items():
        yield from _below(field, content)


def _read(found: LogRecord) -> tuple[Event, dict[str, Any]]:
    """The event, and its data as it is in the log. Raises UndecodableRecord."""
    event = decode(found.record)
    try:
        return event, msgspec.json.decode(found.record.value, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        # Decoding forgives more: NaN, UTF-16, half a surrogate pair.
        raise UndecodableRecord("the value is not strict JSON") from None


def _json(line: Mapping[str, Any]) -> str:
    return msgspec.json.encode(line).decode()


def _raw(found: LogRecord) -> dict[str, Any]:
    return {
        "key": found.session,
        "headers": [[n, v.decode(errors="replace")] for n, v in found.record.headers],
        "data_base64": base64.b64encode(found.record.value).decode(),
    }


def _time(found: LogRecord) -> str:
    return found.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(event: Event) -> str:
    """`reply_completed` of `parley.session.reply_completed.v1`; later versions say theirs."""
    parts = event.type.split(".")
    if len(parts) != 4:
        return event.type
    return parts[2] if parts[3] == "v1" else f"{parts[2]}.{parts[3]}"


def _who(actor: Any) -> str:
    if not isinstance(actor, dict):
        return "?"
    user, tenant = str(actor.get("user")), actor.get("tenant")
    if actor.get("system"):
        return f"({user})"
    return user if tenant == DEFAULT_TENANT else f"{tenant}/{user}"


def _facts(data: Mapping[str, Any]) -> Iterator[str]:
    for name in FACTS:
        if isinstance(value := data.get(name), str):
            yield value
    if isinstance(usage := data.get("usage"), dict):
        about = "~" if usage.get("estimated") else ""
        yield f"{about}{usage.get('prompt_tokens')}+{usage.get('completion_tokens')} tokens"
    if isinstance(took := data.get("total_ms"), int):
        yield f"{took} ms"


def _below(field: str, content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield f"    {field}: ({content})"
        return
    whole = content.get("text") if content.keys() == {"text"} else None
    text = whole if isinstance(whole, str) else _json(content)
    first, *rest = text.split("\n")
    yield f"    {field}: {_printable(first)}"
    for line in rest:
        yield f"      {_printable(line)}".rstrip()


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(
        f"\\u{ord(each):04x}" if unicodedata.category(each) in ("Cc", "Cs") else each
        for each in text.expandtabs()
    )
