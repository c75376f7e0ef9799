"""Export formats, JSON and Markdown, written in chunks.

A truncated export is recognisable: its JSON is not closed, its Markdown lacks the last line.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from parley_contracts.api_models import SessionShape, rfc3339
from parley_core.http.errors import InvalidRequest
from parley_history.queries.messages.page_json import MessageJson

FormatName = Literal["json", "markdown"]

_ROLES = {"user": "User", "assistant": "Assistant", "system": "System"}


class ExportFormat(Protocol):
    """`all_branches` is whether the format includes every branch or the current one."""

    all_branches: bool

    def begin_all(self) -> bytes: ...
    def begin_session(self, session: SessionShape, index: int) -> bytes: ...
    def messages(self, messages: Sequence[MessageJson], is_first_page: bool) -> bytes: ...
    def end_session(self) -> bytes: ...
    def end_all(self) -> bytes: ...
    def end_single(self, session_id: UUID) -> bytes: ...


def parse_format(query: Mapping[str, str]) -> FormatName:
    """Raises InvalidRequest."""
    match query.get("format", "json"):
        case "json":
            return "json"
        case "markdown":
            return "markdown"
        case _:
            raise InvalidRequest("format should be json or markdown.", param="format")


def format_of(name: FormatName) -> ExportFormat:
    match name:
        case "json":
            return JsonFormat()
        case "markdown":
            return MarkdownFormat()


class JsonFormat:
    all_branches = True

    def begin_all(self) -> bytes:
        return b'{"object":"export","sessions":['

    def begin_session(self, session: SessionShape, index: int) -> bytes:
        comma = b"," if index else b""
        return (
            comma + b'{"object":"session_export","session":' + session.to_json() + b',"messages":['
        )

    def messages(self, messages: Sequence[MessageJson], is_first_page: bool) -> bytes:
        encoded = msgspec.json.encode(messages)[1:-1]
        return encoded if is_first_page else b"," + encoded

    def end_session(self) -> bytes:
        return b"]}"

    def end_all(self) -> bytes:
        return b"]}"

    def end_single(self, session_id: UUID) -> bytes:
        del session_id
        return b""


class MarkdownFormat:
    """For human readers: the current branch, without fields that only programs need."""

    all_branches = False

    def begin_all(self) -> bytes:
        return b""

    def begin_session(self, session: SessionShape, index: int) -> bytes:
        lines = [f"# {_one_line(session.title or 'Untitled')}", ""]
        lines += [f"- session: {session.id}", f"- assistant: {session.assistant_id}"]
        lines += [f"- started: {rfc3339(session.created_at)}"]
        lines += [f"- {_one_line(k)}: {_one_line(v)}" for k, v in session.metadata.items()]
        return ("\n" * bool(index) + "\n".join(lines) + "\n").encode(errors="replace")

    def messages(self, messages: Sequence[MessageJson], is_first_page: bool) -> bytes:
        del is_first_page
        return "".join(map(_markdown_message, messages)).encode(errors="replace")

    def end_session(self) -> bytes:
        return b""

    def end_all(self) -> bytes:
        return b"\n---\nEnd of all sessions.\n"

    def end_single(self, session_id: UUID) -> bytes:
        return f"\n---\nEnd of session {session_id}.\n".encode()


def _markdown_message(message: MessageJson) -> str:
    status = "" if message.status == "completed" else f", {message.status}"
    return f"\n## {_ROLES[message.role]}, {message.created_at}{status}\n\n{message.content}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
