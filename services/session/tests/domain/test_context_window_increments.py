"""Increments of the context window: cached and new messages form the whole window."""

import random
from typing import Any
from uuid import UUID

from session_support.conversation import Conversation
from session_support.windows import BUDGET, PromptMessage, context, shown, tokens, window

from parley_session.domain.context_window import CachedWindow, Compaction, context_window
from parley_session.domain.session.state import Session


class Holder:
    """A runner that caches the window of its last turn, as inference does."""

    def __init__(self) -> None:
        self.cached: list[PromptMessage] = []
        self.since: CachedWindow | None = None

    def run(self, session: Session, message_id: UUID, budget: int) -> bool:
        """Whether the turn was an increment; checks that the cached window is complete."""
        news = context_window(session, message_id, budget=budget, cached=self.since)
        if news.base is None:
            self.cached = shown(news)
        else:
            assert self.since is not None
            assert news.base == self.since.version
            self.cached = self.cached + shown(news)
        assert self.cached == window(session, message_id, budget)
        assert news.tokens == tokens(session, self.cached)
        assert self.cached[-1] == message_id
        assert news.tokens <= budget or self.cached == [message_id]
        self.since = CachedWindow(session.version, budget, message_id)
        return news.base is not None


def test_increments_add_up_to_the_whole_window() -> None:
    increments = whole = summaries = 0
    for seed in range(100):
        chance = random.Random(seed)
        talk, holders = Conversation(), [Holder(), Holder()]
        said: list[Any] = []
        budgets = chance.choice([[30], [100], [400], [60, 100], [60, 400]])
        for _ in range(chance.randrange(2, 25)):
            asked = _asked_somehow(talk, said, chance)
            # The turns alternate between runners, which sometimes repeat a claim.
            for holder in chance.sample(holders, chance.choice([1, 1, 1, 2])):
                came_as_increment = holder.run(talk.session, asked, chance.choice(budgets))
                increments += came_as_increment
                whole += not came_as_increment
            cancel_response = _wish(talk, asked, budgets[0])
            reply = talk.reply("a" * chance.choice([0, chance.randrange(1, 200)]))
            said += [asked, reply]
            if cancel_response is not None and chance.random() < 0.7:
                talk.compact(cancel_response.up_to_message_id, "s" * chance.randrange(1, 60))
            if chance.random() < 0.1:
                talk.compact(chance.choice(said), "s" * chance.randrange(1, 60))
            summaries += bool(talk.session.compactions)
    assert min(increments, whole, summaries) > 300


def _wish(talk: Conversation, asked: UUID, budget: int) -> Compaction | None:
    """Checks that the window after a summary starts with a user message."""
    window = context(talk.session, asked, budget)
    if window.compaction is not None:
        branch = [message for message, _ in [*window.compaction.nodes, *window.nodes]]
        if (up_to := window.compaction.up_to_message_id) in branch:
            assert _role(talk, branch[branch.index(up_to) + 1]) == "user"
    return window.compaction


def _asked_somehow(talk: Conversation, said: list[UUID], chance: random.Random) -> UUID:
    """A new message, an edit, a regenerated reply, or a message after imported ones."""
    way = chance.random()
    if said and way < 0.15:
        repeated = chance.choice([each for each in said if _role(talk, each) == "user"])
        talk.ask_again(repeated)
        return repeated
    if way < 0.25:
        said.append(talk.bring(chance.choice(["user", "assistant", "system"]), "i" * 50))
    edits = said and way > 0.85
    return talk.ask("q" * chance.randrange(1, 120), chance.choice(said) if edits else None)


def _role(talk: Conversation, message_id: UUID) -> str:
    return talk.session.messages[message_id].role


def test_a_repeated_claim_has_no_new_messages() -> None:
    talk = Conversation()
    asked = talk.ask("a")
    since = CachedWindow(talk.session.version, BUDGET, asked)
    news = context_window(talk.session, asked, budget=BUDGET, cached=since)
    assert (news.base, shown(news)) == (talk.session.version, [])


def test_a_runner_without_a_valid_cached_window_gets_the_whole_one() -> None:
    talk = Conversation()
    asked = talk.ask("a")
    since = CachedWindow(talk.session.version, BUDGET, UUID(int=1))
    news = context_window(talk.session, asked, budget=BUDGET, cached=since)
    assert (news.base, shown(news)) == (None, [asked])
