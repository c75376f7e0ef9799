"""The demo model's titles and summaries, asked for as inference asks."""

from uuid import uuid4

import pytest

from parley_cli.demo_model import Message, reply_to
from parley_contracts.session_api.turns import CompactionTask, PromptContext, PromptMessage
from parley_inference.background.summary import summary_prompt
from parley_inference.background.title import extract_title, title_prompt
from parley_inference.session.context_window_cache import ContextWindowCache, build_prompt

SUMMARY_OF = "Of what was before that I was sent a summary."


def answer(prompt: list[dict[str, str]]) -> str:
    return reply_to([Message(each["role"], each["content"]) for each in prompt]).text


def window(summary: str | None, *said: str):
    first = [PromptMessage(None, "system", summary)] if summary else []
    messages = [*first, *(PromptMessage(uuid4(), "user", text) for text in said)]
    context = PromptContext(None, 1, 1_000, 10, messages)
    return ContextWindowCache(100_000).update(uuid4(), context)


def summary_of(*said: str, earlier: str | None = None) -> str:
    held = window(earlier, *said)
    compact = CompactionTask(held.messages[-1].id, [])
    return answer(summary_prompt(compact, held))


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("where is the harbour?", "Where is the harbour"),
        ("My name is Ada and I live in Paris.\n\nBye.", "My name is Ada and I"),
        ("ÄTT", "ÄTT"),
    ],
)
def test_a_title_is_the_beginning_of_the_message(question, title):
    answered = answer(title_prompt(question, "Reply: By the sea."))
    assert answered == extract_title(answered) == title


def test_what_was_said_survives_two_summaries():
    first = summary_of("My name is Ada and I live in Rome.", "Remember that tea, hot, is best.")
    second = summary_of("My cat is Tom.", "My name is Eve.", earlier=first)
    for question, fact in (
        ("What is my name?", "Your name is **Eve**."),
        ("Where do I live?", "You live in **Rome**."),
        ("What's my cat?", "Your cat is **Tom**."),
        ("What do you remember?", "- tea, hot, is best"),
    ):
        answered = answer(build_prompt("You are Helper.", window(second, question), 10).messages)
        assert fact in answered
        assert "Answering as Helper." in answered
        assert SUMMARY_OF in answered


def test_what_the_model_itself_said_is_no_fact():
    talk = window(None, "Hello there", "My name is Ada.")
    assert "Eve" not in summary_of("Hello", "Bye")
    said = [talk.messages[0], PromptMessage(uuid4(), "assistant", "My name is Eve.")]
    compact = CompactionTask(talk.messages[1].id, [*said])
    assert answer(summary_prompt(compact, window(None, "x"))) == (
        "The person wrote of: Hello there."
    )


def test_without_a_summary_nothing_is_said_of_one():
    assert SUMMARY_OF not in answer(
        build_prompt("You are Helper.", window(None, "Hello"), 10).messages
    )
