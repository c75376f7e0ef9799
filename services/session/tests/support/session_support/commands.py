"""Commands with new ids."""

from uuid import UUID, uuid4

from parley_session.domain.session.commands import CompleteReply, StartSession, SubmitMessage


def start_session(session_id: UUID | None = None) -> StartSession:
    return StartSession(session_id or uuid4(), "helper", 1, "Title")


def submit_message(content: str = "hello") -> SubmitMessage:
    return SubmitMessage(uuid4(), uuid4(), uuid4(), content, "demo")


def complete_reply(turn_id: UUID) -> CompleteReply:
    return CompleteReply(turn_id, "hi", "stop", 1, 2)
