"""The window that a model is shown, and what of it is news to whoever holds the last one."""

import random
from itertools import pairwise
from uuid import UUID

import pytest
from session_peers.conversation import Conversation

from parley_session.domain.context import context_of, tokens_of
from parley_session.domain.state import Session

BUDGET = 200


def window(session: Session, message_id: UUID, budget: int = BUDGET) -> list[UUID]:
    whole = context_of(session, message_id, budget=budget, since=None)
    assert whole.base is None
    return [message for message, _ in whole.places]


def tokens(session: Session, messages: list[UUID]) -> int:
    return sum(tokens_of(session.messages[message]) for message in messages)


def test_a_token_is_three_bytes_of_text_and_a_message_four_tokens() -> None:
    talk = Conversation()
    asked = talk.ask("x" * 30)
    assert tokens_of(talk.session.messages[asked]) == 10 + 4


def test_everything_is_shown_while_it_fits() -> None:
    talk = Conversation()
    said = [talk.ask("a"), talk.reply("b"), talk.ask("c")]
    assert window(talk.session, said[-1]) == said


def test_replies_without_text_are_left_out() -> None:
    talk = Conversation()
    first = talk.ask("a")
    talk.reply("")
    second = talk.ask("b")
    assert window(talk.session, second) == [first, second]


def test_an_edit_is_shown_instead_of_what_it_replaces() -> None:
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


def test_the_window_keeps_to_its_budget_and_begins_with_what_a_person_said() -> None:
    talk = Conversation()
    for turn in range(60):
        asked = talk.ask("q" * (1 + turn % 40))
        shown = window(talk.session, asked)
        assert tokens(talk.session, shown) <= BUDGET
        assert talk.session.messages[shown[0]].role == "user"
        talk.reply("a" * (1 + turn * 7 % 90) * (20 if turn % 10 == 9 else 1))


def test_the_window_moves_rarely_and_then_to_half_the_budget() -> None:
    talk = Conversation()
    shown = []
    for _ in range(100):
        asked = talk.ask("question")
        shown.append(window(talk.session, asked))
        talk.reply("an answer")
    moves = [later for earlier, later in pairwise(shown) if earlier[0] != later[0]]
    # A turn has 7 + 7 tokens: half the budget, 100 tokens, lasts for over seven turns.
    assert 8 <= len(moves) <= 100 // 7
    assert all(tokens(talk.session, window) <= BUDGET // 2 for window in moves)
    # Between two moves each window is the beginning of the next one.
    assert sum(later[: len(earlier)] == earlier for earlier, later in pairwise(shown)) == (
        99 - len(moves)
    )


class Holder:
    """A process that holds the window of the last turn that it ran, as inference does."""

    def __init__(self) -> None:
        self.held: list[UUID] = []
        self.version: int | None = None

    def run(self, session: Session, message_id: UUID, budget: int) -> bool:
        """Whether the turn came as an increment; the held window must be the whole one."""
        context = context_of(session, message_id, budget=budget, since=self.version)
        new = [message for message, _ in context.places]
        if context.base is None:
            self.held = new
        else:
            assert context.base == self.version
            self.held = self.held + new
        assert self.held == window(session, message_id, budget)
        assert session.messages[self.held[0]].role == "user"
        assert self.held == self.held[-1:] or tokens(session, self.held) <= budget
        self.version = session.version
        return context.base is not None


def test_news_equal_the_whole_window_in_any_conversation() -> None:
    increments = whole = 0
    for seed in range(150):
        chance = random.Random(seed)
        talk, holders, replies = Conversation(), [Holder(), Holder()], []
        budget = chance.choice([30, 100, 400])
        for _ in range(chance.randrange(2, 25)):
            edits = replies and chance.random() < 0.2
            parent = chance.choice(replies) if edits else None
            asked = talk.ask("q" * chance.randrange(1, 120), parent)
            # Now one process runs the turn, now another, and sometimes one claims it again.
            for holder in chance.sample(holders, chance.choice([1, 1, 1, 2])):
                came_as_increment = holder.run(talk.session, asked, budget)
                increments += came_as_increment
                whole += not came_as_increment
            replies.append(talk.reply("a" * chance.choice([0, chance.randrange(1, 200)])))
    assert min(increments, whole) > 300


def test_a_claim_again_brings_no_news() -> None:
    talk = Conversation()
    asked = talk.ask("a")
    context = context_of(talk.session, asked, budget=BUDGET, since=talk.session.version)
    assert (context.base, list(context.places)) == (talk.session.version, [])


@pytest.mark.parametrize("since", [1, 99])
def test_whoever_holds_no_window_of_this_session_gets_the_whole_one(since: int) -> None:
    talk = Conversation()
    asked = talk.ask("a")
    context = context_of(talk.session, asked, budget=BUDGET, since=since)
    assert (context.base, [message for message, _ in context.places]) == (None, [asked])
