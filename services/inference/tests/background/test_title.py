import pytest

from parley_inference.background.title import extract_title, first_words, title_prompt


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
        ("<think>A walk? A title: walk.</think>\n\nHarbour walk", "Harbour walk"),
        ("It is a walk, so:\n</think>\nHarbour walk", "Harbour walk"),
        ("<think>Never ends", ""),
        ('{"title": "Harbour walk"}', "Harbour walk"),
        ('```json\n{"tags": [1], "title": "Harbour walk"}\n```', "Harbour walk"),
        ('{"name": "Harbour walk"}', "Harbour walk"),
        ('["Harbour walk", "Sea"]', "Harbour walk"),
        ('{"title": 7}', ""),
        ('{"title": "Harb', ""),
        ("Sure! Here is a title:\n\nHarbour walk", "Harbour walk"),
        ("Sure! Here is a title: Harbour walk.", "Harbour walk"),
        ("Sure thing:\nHarbour walk", "Harbour walk"),
        ("Here's a suggested title for the conversation: **Harbour walk**", "Harbour walk"),
        ("**Title:** Harbour walk", "Harbour walk"),
        ("Titre : Promenade au port", "Promenade au port"),
        ("标题：港口散步。", "港口散步"),
        ("タイトル：港の散歩。", "港の散歩"),
        ("Заголовок: Прогулка.", "Прогулка"),
        ("बंदरगाह की सैर।", "बंदरगाह की सैर"),
        ("Python: lists and dicts", "Python: lists and dicts"),
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


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("How do I  get\nto the harbour?", "How do I get to the harbour?"),
        (
            "one two three four five six seven eight nine",
            "one two three four five six seven eight …",
        ),
        ("港" * 100, "港" * 79 + "…"),
        ("  ", ""),
    ],
)
def test_without_a_suggestion_the_title_is_the_beginning_of_the_message(
    message: str, title: str
) -> None:
    assert first_words(message) == title
