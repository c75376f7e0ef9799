from uuid import uuid4

from parley_inference.background.summary import CompactionRequest, summary_bytes, summary_prompt
from parley_inference.session.context_window_cache import (
    ContextMessage,
    ContextWindowCache,
    PromptContext,
)

BUDGET = 1_000


def said(role: str, content: str) -> ContextMessage:
    return ContextMessage(uuid4(), role, content)


def window_of(*messages: ContextMessage):
    return ContextWindowCache(10_000, 60).update(
        uuid4(), PromptContext(None, 3, BUDGET, 10, [*messages]), 0
    )


def shown(compact: CompactionRequest, *messages: ContextMessage) -> str:
    [_, asked] = summary_prompt(compact, window_of(*messages))
    return asked["content"]


def test_what_is_said_up_to_the_message_is_summarised():
    talk = [said("user", "one"), said("assistant", "two"), said("user", "three")]
    assert shown(CompactionRequest(talk[1].id, []), *talk) == "Person: one\n\nAssistant: two"


def test_with_the_earlier_summary_and_what_the_window_left_behind():
    talk = [ContextMessage(None, "system", "Ada."), said("user", "three")]
    left = [said("user", "one"), said("assistant", "two")]
    summarised = shown(CompactionRequest(left[-1].id, left), *talk)
    assert summarised == "Earlier summary: Ada.\n\nPerson: one\n\nAssistant: two"


def test_a_summary_is_bounded_by_the_budget():
    [told, _] = summary_prompt(CompactionRequest(uuid4(), []), window_of(said("user", "a")))
    assert "At most 83 words" in told["content"]
    # Estimated at three bytes a token, a summary of the greatest length leaves half of the budget.
    assert [summary_bytes(budget) // 3 <= budget // 2 for budget in (500, 8_000, 10**6)] == [
        True,
        True,
        True,
    ]
