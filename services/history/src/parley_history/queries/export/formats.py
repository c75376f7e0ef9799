"""The two forms of an export, piece by piece.

What is cut short can be told from what is whole: JSON is not closed, Markdown has no last line.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from parley_contracts.api_models import SessionShape, rfc3339
from parley_history.queries.export.request import Form
from parley_history.queries.messages.page_json import MessageJson

_ROLES = {"user": "User", "assistant": "Assistant", "system": "System"}


class ExportFormat(Protocol):
    """How a form writes an export; `every_branch` tells which messages it wants."""

    every_branch: bool

    def before_all(self) -> bytes: ...
    def before(self, session: SessionShape, place: int) -> bytes: ...
    def messages(self, messages: Sequence[MessageJson], first: bool) -> bytes: ...
    def after(self) -> bytes: ...
    def after_all(self) -> bytes: ...
    def after_one(self, session_id: UUID) -> bytes: ...


def form_of(form: Form) -> ExportFormat:
    match form:
        case "json":
            return Json()
        case "markdown":
            return Markdown()


class Json:
    every_branch = True

    def before_all(self) -> bytes:
        return b'{"object":"export","sessions":['

    def before(self, session: SessionShape, place: int) -> bytes:
        comma = b"," if place else b""
        return (
            comma + b'{"object":"session_export","session":' + session.to_json() + b',"messages":['
        )

    def messages(self, messages: Sequence[MessageJson], first: bool) -> bytes:
        encoded = msgspec.json.encode(messages)[1:-1]
        return encoded if first else b"," + encoded

    def after(self) -> bytes:
        return b"]}"

    def after_all(self) -> bytes:
        return b"]}"

    def after_one(self, session_id: UUID) -> bytes:
        del session_id
        return b""


class Markdown:
    """As people read it: the branch that is shown, without what only programs need."""

    every_branch = False

    def before_all(self) -> bytes:
        return b""

    def before(self, session: SessionShape, place: int) -> bytes:
        lines = [f"# {_one_line(session.title or 'Untitled')}", ""]
        lines += [f"- session: {session.id}", f"- assistant: {session.assistant_id}"]
        lines += [f"- started: {rfc3339(session.created_at)}"]
        lines += [f"- {_one_line(k)}: {_one_line(v)}" for k, v in session.metadata.items()]
        return ("\n" * bool(place) + "\n".join(lines) + "\n").encode(errors="replace")

    def messages(self, messages: Sequence[MessageJson], first: bool) -> bytes:
        del first
        return "".join(map(_said, messages)).encode(errors="replace")

    def after(self) -> bytes:
        return b""

    def after_all(self) -> bytes:
        return b"\n---\nEnd of all sessions.\n"

    def after_one(self, session_id: UUID) -> bytes:
        return f"\n---\nEnd of session {session_id}.\n".encode()


def _said(message: MessageJson) -> str:
    ending = "" if message.status == "completed" else f", {message.status}"
    return f"\n## {_ROLES[message.role]}, {message.created_at}{ending}\n\n{message.content}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
