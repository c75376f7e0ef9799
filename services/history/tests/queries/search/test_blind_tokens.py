"""Words of a text, and their blind tokens."""

from typing import Any

import pytest

from parley_core.crypto.sealing import DataKey
from parley_history.queries.search.blind_tokens import (
    MAX_WORDS,
    key_fingerprint,
    tokens_of,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("!? — …", ""),
        ("Hello, HELLO world", "hello world"),
        ("Café Zürich naïve", "cafe zurich naive"),
        ("e\u0301t\u00e9", "ete"),
        ("Straße STRASSE", "strasse"),
        ("ﬁne ２０２６ ①", "fine 2026 1"),
        ("Ωμέγα", "ωμεγα"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("snake_case don't x2", "snake case don t x2"),
        ("東京タワー", "東 京 タ ワ ー 東京 京タ タワ ワー"),
        ("Python入門", "python 入 門 入門"),
        ("한국어 단어", "한국어 단어"),
    ],
)
def test_words_have_no_case_and_no_accents_and_scripts_without_spaces_go_by_pairs(
    text: Any, words: Any
) -> None:
    assert words_of(text) == set(words.split())


def test_wide_and_narrow_forms_are_the_same_words() -> None:
    assert words_of("ﾊﾝｶｸ ＡＢＣ") == words_of("ハンカク abc")


def test_long_words_and_long_texts_are_bounded() -> None:
    assert words_of("a" * 100_000) == {"a" * 64}
    assert len(words_of(" ".join(map(str, range(30_000))))) == MAX_WORDS


def test_equal_words_have_equal_tokens_under_one_key_only() -> None:
    ours, theirs = DataKey.generate(), DataKey.generate()
    words = [f"word{n}" for n in range(1_000)]
    assert tokens_of(ours, words) == tokens_of(ours, words)
    assert len(set(tokens_of(ours, words)) | set(tokens_of(theirs, words))) == 2_000
    assert all(-(2**63) <= token < 2**63 for token in tokens_of(ours, words))
    assert key_fingerprint(ours) != key_fingerprint(theirs)
