"""The context window, and when a summary is requested."""

from itertools import pairwise
from uuid import UUID

import pytest
from session_support.conversation import Conversation
from session_support.windows import BUDGET, context, tokens, window

from parley_events.values import Usage
from parley_session.domain.context_window import tokens_of
from parley_session.domain.session.state import Session


def test_a_token_is_three_bytes_of_text_and_a_message_four_tokens() -> None:
    talk = Conversation()
    asked = talk.ask("x" * 30)
    assert tokens_of(talk.session.messages[asked]) == 10 + 4


def test_counted_tokens_take_precedence_over_the_estimate() -> None:
    talk = Conversation()
    asked = talk.ask("x" * 30, tokens=7)
    assert tokens_of(talk.session.messages[asked]) == 7 + 4


def test_reasoning_tokens_do_not_count_towards_the_window() -> None:
    talk = Conversation()
    talk.ask("a")
    reply = talk.reply("x" * 30, Usage(prompt_tokens=1, completion_tokens=900))
    talk.ask("b")
    other = talk.reply("x" * 30, Usage(prompt_tokens=1, completion_tokens=9))
    assert [tokens_of(talk.session.messages[each]) for each in (reply, other)] == [34, 13]


def test_the_window_is_the_whole_branch_while_it_fits() -> None:
    talk = Conversation()
    said = [talk.ask("a"), talk.reply("b"), talk.ask("c")]
    assert window(talk.session, said[-1]) == said


def test_replies_without_text_are_left_out() -> None:
    talk = Conversation()
    first = talk.ask("a")
    talk.reply("")
    second = talk.ask("b")
    assert window(talk.session, second) == [first, second]


def test_an_edit_replaces_the_edited_message_in_the_window() -> None:
    talk = Conversation()
    first, reply = talk.ask("a"), talk.reply("b")
    talk.ask("c")
    talk.reply("d")
    edit = talk.ask("e", parent=reply)
    assert window(talk.session, edit) == [first, reply, edit]


@pytest.mark.parametrize("size", [3 * BUDGET, 300 * BUDGET])
def test_the_newest_message_stays_however_long(size: int) -> None:
    talk = Conversation()
    talk.ask("a")
    talk.reply("b")
    long = talk.ask("x" * size)
    assert window(talk.session, long) == [long]


def test_the_window_fits_its_budget_and_starts_with_a_user_message() -> None:
    talk = Conversation()
    for turn in range(60):
        asked = talk.ask("q" * (1 + turn % 40))
        seen = window(talk.session, asked)
        assert tokens(talk.session, seen) <= BUDGET
        first = seen[0]
        assert isinstance(first, UUID)
        assert talk.session.messages[first].role == "user"
        talk.reply("a" * (1 + turn * 7 % 90) * (20 if turn % 10 == 9 else 1))


def test_the_window_advances_in_steps_of_half_the_budget() -> None:
    talk = Conversation()
    windows = []
    for _ in range(100):
        asked = talk.ask("question")
        windows.append(window(talk.session, asked))
        talk.reply("an answer")
    moves = [later for earlier, later in pairwise(windows) if earlier[0] != later[0]]
    # A turn has 7 + 7 tokens, so half the budget (100 tokens) lasts for seven turns.
    assert 8 <= len(moves) <= 100 // 7
    assert all(tokens(talk.session, window) <= BUDGET // 2 for window in moves)
    # Between two advances each window is a prefix of the next one.
    assert sum(later[: len(earlier)] == earlier for earlier, later in pairwise(windows)) == (
        99 - len(moves)
    )


def test_a_message_over_the_budget_shows_in_the_tokens() -> None:
    talk = Conversation()
    asked = talk.ask("a")
    assert context(talk.session, asked).tokens == tokens(talk.session, [asked])
    talk.reply("b")
    asked = talk.ask("x" * 3 * BUDGET)
    assert context(talk.session, asked).tokens == BUDGET + 4


def test_imported_system_messages_are_left_out() -> None:
    talk = Conversation()
    messages_to_import = [
        talk.bring("system", "You are a pirate."),
        talk.bring("assistant", "Arr."),
    ]
    asked = talk.ask("Hello?")
    assert window(talk.session, asked) == [messages_to_import[1], asked]


def test_a_summary_replaces_the_messages_that_it_covers() -> None:
    talk = Conversation()
    talk.ask("a")
    talk.compact(talk.reply("b"), "summary")
    summary = talk.session.version
    asked = [talk.ask("c"), talk.reply("d"), talk.ask("e")]
    assert window(talk.session, asked[-1]) == [summary, *asked]
    assert context(talk.session, asked[-1]).tokens == tokens(talk.session, [summary, *asked])


def test_the_summary_that_covers_most_is_used() -> None:
    talk = Conversation()
    talk.ask("a")
    talk.compact(talk.reply("b"), "first")
    talk.ask("c")
    talk.compact(talk.reply("d"), "second")
    second, asked = talk.session.version, talk.ask("e")
    assert window(talk.session, asked) == [second, asked]


def test_a_summary_of_another_branch_is_not_used() -> None:
    talk = Conversation()
    said = [talk.ask("a"), talk.reply("b")]
    talk.ask("c")
    talk.compact(talk.reply("d"), "of the other branch")
    edit = talk.ask("e", parent=said[1])
    assert window(talk.session, edit) == [*said, edit]


def test_a_regenerated_reply_does_not_use_a_summary_of_its_question() -> None:
    talk = Conversation()
    asked = talk.ask("a")
    talk.reply("")
    talk.compact(asked, "of the question itself")
    talk.ask_again(asked)
    assert window(talk.session, asked) == [asked]


def test_a_summary_that_leaves_no_room_is_not_used() -> None:
    talk = Conversation()
    talk.ask("a")
    talk.compact(talk.reply("b"), "s" * 3 * BUDGET)
    asked = talk.ask("c")
    assert window(talk.session, asked)[-1] == asked
    assert context(talk.session, asked).summary is None


def grown(turns: int) -> tuple[Conversation, list[UUID], UUID]:
    """Ended turns of 14 tokens each, and an open one of 7."""
    talk, said = Conversation(), []
    for _ in range(turns):
        said += [talk.ask("question"), talk.reply("an answer")]
    return talk, said, talk.ask("question")


def test_a_summary_is_requested_over_three_quarters_of_the_budget() -> None:
    assert [turns for turns in range(15) if context(*_session_of(grown(turns))).compaction] == [
        *range(11, 15)
    ]


def _session_of(conversation: tuple[Conversation, list[UUID], UUID]) -> tuple[Session, UUID]:
    talk, _, asked = conversation
    return talk.session, asked


def test_a_requested_summary_covers_about_half_and_ends_with_a_reply() -> None:
    talk, said, asked = grown(11)
    compact = context(talk.session, asked).compaction
    assert compact is not None
    assert list(compact.nodes) == []
    up_to = said.index(compact.up_to_message_id)
    assert talk.session.messages[said[up_to]].role == "assistant"
    kept = tokens(talk.session, [*said[up_to + 1 :], asked])
    assert 0.35 < kept / context(talk.session, asked).tokens <= 0.5
    talk.reply("an answer")
    talk.compact(compact.up_to_message_id, "x" * 30)
    after = talk.ask("question")
    assert window(talk.session, after)[1:] == [*said[up_to + 1 :], asked, *_last(talk, after)]
    assert context(talk.session, after).compaction is None


def _last(talk: Conversation, asked: UUID) -> list[UUID]:
    reply = talk.session.messages[asked].parent_id
    assert reply is not None
    return [reply, asked]


def test_messages_that_left_the_window_are_summarised() -> None:
    talk, said, asked = grown(12)
    talk.reply("a" * 3 * (BUDGET // 2))
    after = talk.ask("question")
    moved = context(talk.session, after)
    assert moved.compaction is not None
    left = [message for message, _ in moved.compaction.nodes]
    everything = list(talk.session.messages)
    start = everything.index(moved.nodes[0][0])
    assert moved.compaction.up_to_message_id == everything[start - 1]
    # As much as fits beside the window; a message that is too long is skipped.
    assert BUDGET // 4 < tokens(talk.session, [*left]) <= BUDGET // 2
    assert left == [each for each in [*said, asked] if each in left]
    assert everything[start - 1] not in left


def test_only_one_long_message_needs_no_summary() -> None:
    talk = Conversation()
    asked = talk.ask("x" * 3 * (BUDGET - 10))
    assert context(talk.session, asked).compaction is None
