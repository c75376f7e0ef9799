from uuid import uuid4

from parley_contracts.session_api.turns import CompactionTask, PromptContext, PromptMessage
from parley_inference.background.summary import max_summary_bytes, summary_prompt
from parley_inference.session.context_window_cache import ContextWindow, ContextWindowCache

BUDGET = 1_000


def message(role: str, content: str) -> PromptMessage:
    return PromptMessage(uuid4(), role, content)


def window_of(*messages: PromptMessage) -> ContextWindow:
    context = PromptContext(None, 3, BUDGET, 10, [*messages])
    return ContextWindowCache(10_000).update(uuid4(), context)


def transcript(task: CompactionTask, *messages: PromptMessage) -> str:
    [_, user] = summary_prompt(task, window_of(*messages))
    return user["content"]


def test_messages_up_to_the_requested_one_are_summarised() -> None:
    history = [message("user", "one"), message("assistant", "two"), message("user", "three")]
    up_to = history[1].id
    assert up_to is not None
    summarised = transcript(CompactionTask(up_to, []), *history)
    assert summarised == "Person: one\n\nAssistant: two"


def test_the_earlier_summary_and_messages_before_the_window_are_included() -> None:
    history = [PromptMessage(None, "system", "Ada."), message("user", "three")]
    before = [message("user", "one"), message("assistant", "two")]
    up_to = before[-1].id
    assert up_to is not None
    summarised = transcript(CompactionTask(up_to, before), *history)
    assert summarised == "Earlier summary: Ada.\n\nPerson: one\n\nAssistant: two"


def test_the_budget_bounds_the_summary() -> None:
    [system, _] = summary_prompt(CompactionTask(uuid4(), []), window_of(message("user", "a")))
    assert "At most 83 words" in system["content"]
    # At three bytes per token, the longest summary leaves half of the budget.
    assert [max_summary_bytes(budget) // 3 <= budget // 2 for budget in (500, 8_000, 10**6)] == [
        True,
        True,
        True,
    ]
