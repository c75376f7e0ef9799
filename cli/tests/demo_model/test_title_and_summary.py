"""Titles and summaries of the demo model, requested with the prompts of inference."""

from uuid import UUID, uuid4

import pytest

from parley_cli.demo_model import Message, reply_to
from parley_contracts.session_api.turns import CompactionTask, PromptContext, PromptMessage
from parley_inference.background.summary import summary_prompt
from parley_inference.background.title import extract_title, title_prompt
from parley_inference.session.context_window_cache import (
    ContextWindow,
    ContextWindowCache,
    build_prompt,
)

SUMMARY_NOTICE = "Earlier messages were sent to me as a summary."


def reply(prompt: list[dict[str, str]]) -> str:
    return reply_to([Message(each["role"], each["content"]) for each in prompt]).text


def window(summary: str | None, *texts: str) -> ContextWindow:
    first = [PromptMessage(None, "system", summary)] if summary else []
    messages = [*first, *(PromptMessage(uuid4(), "user", text) for text in texts)]
    context = PromptContext(None, 1, 1_000, 10, messages)
    return ContextWindowCache(100_000).update(uuid4(), context)


def message_id(cached: ContextWindow, index: int) -> UUID:
    identity = cached.messages[index].id
    assert identity is not None
    return identity


def summary_of(*texts: str, earlier: str | None = None) -> str:
    cached = window(earlier, *texts)
    compact = CompactionTask(message_id(cached, -1), [])
    return reply(summary_prompt(compact, cached))


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("where is the harbour?", "Where is the harbour"),
        ("My name is Ada and I live in Paris.\n\nBye.", "My name is Ada and I"),
        ("ÄTT", "ÄTT"),
    ],
)
def test_a_title_is_the_beginning_of_the_message(question: str, title: str) -> None:
    replied = reply(title_prompt(question, "Reply: By the sea."))
    assert replied == extract_title(replied) == title


def test_facts_survive_two_summaries() -> None:
    first = summary_of("My name is Ada and I live in Rome.", "Remember that tea, hot, is best.")
    second = summary_of("My cat is Tom.", "My name is Eve.", earlier=first)
    for question, fact in (
        ("What is my name?", "Your name is **Eve**."),
        ("Where do I live?", "You live in **Rome**."),
        ("What's my cat?", "Your cat is **Tom**."),
        ("What do you remember?", "- tea, hot, is best"),
    ):
        replied = reply(build_prompt("You are Helper.", window(second, question), 10).messages)
        assert fact in replied
        assert "Answering as Helper." in replied
        assert SUMMARY_NOTICE in replied


def test_statements_of_the_model_are_not_facts() -> None:
    cached = window(None, "Hello there", "My name is Ada.")
    assert "Eve" not in summary_of("Hello", "Bye")
    hidden = [cached.messages[0], PromptMessage(uuid4(), "assistant", "My name is Eve.")]
    compact = CompactionTask(message_id(cached, 1), [*hidden])
    assert reply(summary_prompt(compact, window(None, "x"))) == (
        "The person wrote of: Hello there."
    )


def test_without_a_summary_the_reply_does_not_mention_one() -> None:
    assert SUMMARY_NOTICE not in reply(
        build_prompt("You are Helper.", window(None, "Hello"), 10).messages
    )
