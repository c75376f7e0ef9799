import random

import pytest

from parley_session.application.token_counter import count_instruction_tokens, count_tokens

COUNTED = [
    "gpt-4o",
    "gpt-4.1-mini",
    "GPT-5",
    "openai/gpt-5",
    "ft:gpt-4o-mini:us",
    "o3-mini",
    "gpt-oss-20b",
]


@pytest.mark.parametrize("model", [*COUNTED, "chatgpt-4o-latest"])
def test_tokens_are_counted_if_the_vocabulary_is_known(model: str) -> None:
    assert [count_tokens(model, text) for text in ("", "Hello, world!", "<|endoftext|>")] == [
        0,
        4,
        7,
    ]


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4-turbo", "gpt-3.5-turbo", "demo", "llama3", ""])
def test_tokens_are_not_counted_if_the_vocabulary_is_unknown(model: str) -> None:
    assert count_tokens(model, "Hello, world!") is None


def test_instructions_are_estimated_if_they_cannot_be_counted() -> None:
    assert count_instruction_tokens("gpt-4o", "Hello, world!") == 4
    assert count_instruction_tokens("demo", "Hello, world!") == 5


def test_the_count_of_a_long_text_is_extrapolated_from_samples() -> None:
    chance = random.Random(1)
    prose = " ".join(chance.choices(["harbour", "tea", "Ada", "walks,", "slowly."], k=15_000))
    digits = "".join(chance.choices("0123456789", k=60_000))
    whole = sum(
        count_tokens("gpt-4o", (prose + digits)[at : at + 30_000]) or 0
        for at in range(0, 160_000, 30_000)
    )
    estimated = count_tokens("gpt-4o", prose + digits)
    assert estimated == pytest.approx(whole, rel=0.06)
