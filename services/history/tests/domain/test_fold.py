"""The fold of the golden records into rows."""

import dataclasses
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from history_testing.read_model import folded
from history_testing.stories import Story, chat
from msgspec.structs import asdict, replace

from parley_events.cloudevents import decode
from parley_events.golden import golden_record
from parley_events.session import DATA_BY_TYPE
from parley_events.values import ForkPoint
from parley_history.domain.fold import InapplicableEvent, evolve
from parley_history.domain.rows import MessageRow, SessionRow, TurnLink


def known(last: int) -> UUID:
    return UUID(f"0199c0de-0000-7000-8000-0000000000{last:02x}")


SESSION, PARENT, MESSAGE, TURN, REPLY = (known(n) for n in range(1, 6))


def golden(name: str) -> Any:
    return decode(golden_record(f"parley.session.{name}.v1"))


def at(second: int) -> datetime:
    return datetime(2026, 11, 24, 12, 0, second, 123456, tzinfo=UTC)


def after(*names: str) -> SessionRow:
    session = None
    for name in names:
        session, _ = evolve(session, golden(name))
    assert session is not None
    return session


REPLY_REQUESTED = ("session_started", "message_submitted", "reply_requested")
USAGE_COLUMNS: dict[str, Any] = {
    "model": "demo",
    "prompt_tokens": 12,
    "completion_tokens": 34,
    "tokens_estimated": False,
    "price_currency": "USD",
    "price_prompt": 150_000,
    "price_completion": 600_000,
}


def reply(version: int, **own: Any) -> MessageRow:
    return MessageRow(
        session_id=SESSION,
        version=version,
        id=REPLY,
        event_id=known(0x64 + version),
        turn_id=TURN,
        parent_id=MESSAGE,
        role="assistant",
        created_at=at(version),
        **USAGE_COLUMNS,
        **own,
    )


def test_a_started_session_is_a_row_with_the_event_id_that_unseals_its_title() -> None:
    session, brought = evolve(None, golden("session_started"))
    assert brought is None
    assert session == SessionRow(
        id=SESSION,
        tenant="default",
        owner="ada",
        assistant_id="helper",
        assistant_version=1,
        version=1,
        last_event_id=known(0x65),
        created_at=at(1),
        updated_at=at(1),
        title=b"\x01sealed title",
        title_event_id=known(0x65),
        metadata=b"\x01sealed metadata",
        metadata_event_id=known(0x65),
    )


def test_a_submitted_message_is_a_row_and_the_next_event_links_its_turn() -> None:
    session, message = evolve(after("session_started"), golden("message_submitted"))
    assert message == MessageRow(
        session_id=SESSION,
        version=2,
        id=MESSAGE,
        event_id=known(0x66),
        turn_id=None,
        parent_id=PARENT,
        role="user",
        status="completed",
        created_at=at(2),
        content=b"\x01sealed content",
    )
    session, link = evolve(session, golden("reply_requested"))
    assert link == TurnLink(SESSION, MESSAGE, TURN)
    assert (session.open_turn_id, session.open_turn_message_id) == (TURN, MESSAGE)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        (
            "reply_completed",
            reply(4, status="completed", content=b"\x01sealed content", finish_reason="stop"),
        ),
        (
            "reply_failed",
            reply(
                5,
                status="failed",
                content=b"\x01sealed partial content",
                error_code="upstream_timeout",
                error_details=b"\x01sealed details",
            ),
        ),
        ("reply_cancelled", reply(7, status="cancelled", content=b"\x01sealed partial content")),
    ],
)
def test_a_finished_reply_is_a_row_and_closes_the_turn(name: str, row: Any) -> None:
    session, message = evolve(after(*REPLY_REQUESTED), golden(name))
    assert message == row
    assert session.open_turn_id is session.open_turn_message_id is None
    assert (session.version, session.last_event_id) == (row.version, row.event_id)


def test_a_cancel_request_changes_only_the_version_and_leaves_the_turn_open() -> None:
    before = after(*REPLY_REQUESTED)
    session, brought = evolve(before, golden("cancel_requested"))
    assert brought is None
    position = {"version": 6, "last_event_id": known(0x6A), "updated_at": at(6)}
    assert session == replace(before, **position)


def test_the_reply_of_a_turn_with_a_discarded_start_follows_the_newest_message() -> None:
    before = after(*REPLY_REQUESTED)
    other = golden("reply_completed")
    other = dataclasses.replace(other, data=other.data.model_copy(update={"turn_id": known(0xFF)}))
    session, message = evolve(before, other)
    assert isinstance(message, MessageRow)
    assert message.parent_id == MESSAGE
    assert (session.open_turn_id, session.open_turn_message_id) == (TURN, MESSAGE)


CHANGES: dict[str, dict[str, Any]] = {
    "context_compacted": {},
    "session_renamed": {"title": b"\x01sealed title", "title_event_id": known(0x70)},
    "session_metadata_changed": {
        "metadata": b"\x01sealed metadata",
        "metadata_event_id": known(0x71),
    },
    "session_archived": {"archived": True},
    "session_unarchived": {"archived": False},
    "session_deleted": {"deleted": True},
    "session_restored": {"deleted": False},
    "legal_hold_placed": {"held": True},
    "legal_hold_lifted": {"held": False},
    "session_erased": {
        "erased_at": golden("session_erased").time,
        "title": None,
        "title_event_id": None,
        "metadata": None,
        "metadata_event_id": None,
        "leaf_message_id": None,
        "open_turn_id": None,
        "open_turn_message_id": None,
    },
}


TAKEN_BACK = {
    "session_unarchived": "session_archived",
    "session_restored": "session_deleted",
    "legal_hold_lifted": "legal_hold_placed",
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_session_event_changes_only_its_own_columns(name: str) -> None:
    before = after(*REPLY_REQUESTED)
    if name in TAKEN_BACK:
        before, _ = evolve(before, golden(TAKEN_BACK[name]))
    event = golden(name)
    session, brought = evolve(before, event)
    assert brought is None
    position = {"version": event.sequence, "last_event_id": event.id, "updated_at": event.time}
    assert session == replace(before, **position | CHANGES[name])


def test_a_title_may_be_removed() -> None:
    story = Story(title="Words")
    story.rename(None)
    session = folded(story).sessions[story.id]
    assert (session.title, session.title_event_id) == (None, None)


def test_a_start_event_sets_expiry_and_fork_origin() -> None:
    origin = ForkPoint(session_id=SESSION, message_id=MESSAGE)
    story = Story(expires_at=at(9), forked_from=origin)
    session = folded(story).sessions[story.id]
    assert session.expires_at == at(9)
    assert session.forked_from_session_id == SESSION
    assert session.forked_from_message_id == MESSAGE


def test_a_session_is_linear_until_a_message_starts_a_branch() -> None:
    story = Story()
    first = story.import_message("first")
    story.submit("second")
    story.reply("third")
    session = folded(story).sessions[story.id]
    assert (session.linear, session.leaf_message_id) == (True, story.leaf)
    story.submit("second, otherwise", after=first)
    assert not folded(story).sessions[story.id].linear
    story.reply("third, otherwise")
    session = folded(story).sessions[story.id]
    assert (session.linear, session.leaf_message_id) == (False, story.leaf)


def test_no_event_follows_an_erasure() -> None:
    story = chat(1)
    story.erase()
    story.submit("question")
    session = None
    for event in story.events[:5]:
        session, _ = evolve(session, event)
    with pytest.raises(InapplicableEvent, match="is erased"):
        evolve(session, story.events[5])


def test_a_completion_without_a_conversation_is_erased_from_the_start() -> None:
    event = golden("completion_served")
    session, brought = evolve(None, event)
    assert brought is None
    assert (session.id, session.version, session.last_event_id) == (event.session_id, 1, event.id)
    assert (session.tenant, session.owner, session.assistant_id) == ("default", "ada", "")
    assert session.erased_at == session.created_at == session.updated_at == event.time
    with pytest.raises(InapplicableEvent, match="is erased"):
        evolve(session, golden("message_submitted"))
    with pytest.raises(InapplicableEvent, match="has already started"):
        evolve(after("session_started"), event)


def test_every_published_event_is_folded_above() -> None:
    published = {name.split(".")[2] for name in DATA_BY_TYPE}
    ends = {"reply_completed", "reply_failed", "reply_cancelled"}
    others = {"cancel_requested", "message_imported", "completion_served"}
    assert published == {*REPLY_REQUESTED, *ends, *CHANGES, *others}


def test_an_event_of_an_unknown_type_changes_only_the_version() -> None:
    story = chat(1)
    before = None
    for event in story.events:
        before, _ = evolve(before, event)
    story.add_unknown_event()
    assert before is not None
    session, effect = evolve(before, story.events[-1])
    assert effect is None
    changed = {k for k, v in asdict(session).items() if v != asdict(before)[k]}
    assert changed == {"version", "last_event_id", "updated_at"}


def test_a_session_starts_once_and_with_its_start() -> None:
    story = Story()
    story.submit("question")
    session, _ = evolve(None, story.events[0])
    with pytest.raises(InapplicableEvent, match="has already started"):
        evolve(session, story.events[0])
    with pytest.raises(InapplicableEvent, match="first event"):
        evolve(None, story.events[1])
