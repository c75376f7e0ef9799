import pytest

from parley_inference.background.title import extract_title, title_prompt


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Ada's harbour walk", "Ada's harbour walk"),
        ('"A walk"', "A walk"),
        ("Title: “A walk.”\n", "A walk"),
        ("**A  walk\tby night**", "A walk by night"),
        ("\n\n# A walk\n\nIt suits the message.", "A walk"),
        ("「散歩」", "散歩"),
        ("Is it raining?", "Is it raining?"),
        ('"""\n"', ""),
        ("", ""),
        ("x" * 80, "x" * 80),
        ("word " * 40, "word " * 15 + "word…"),
    ],
)
def test_a_title_is_one_line_without_decoration(answer: str, title: str) -> None:
    assert extract_title(answer) == title
    assert len(title) <= 80


def test_the_prompt_contains_only_the_beginning_of_long_messages() -> None:
    [_, user] = title_prompt("q" * 10_000, "a" * 10_000)
    assert (user["content"].count("q"), user["content"].count("a")) == (2_000, 2_000)
