"""Blind tokens of words."""

import pytest

from parley_core.crypto.sealing import DataKey
from parley_history.queries.search import blind_tokens
from parley_history.queries.search.blind_tokens import key_fingerprint, tokens_of
from parley_history.queries.search.words import WORD_RULES_VERSION


def test_equal_words_have_equal_tokens_under_one_key_only() -> None:
    ours, theirs = DataKey.generate(), DataKey.generate()
    words = [f"word{n}" for n in range(1_000)]
    assert tokens_of(ours, words) == tokens_of(ours, words)
    assert len(set(tokens_of(ours, words)) | set(tokens_of(theirs, words))) == 2_000
    assert all(-(2**63) <= token < 2**63 for token in tokens_of(ours, words))
    assert key_fingerprint(ours) != key_fingerprint(theirs)


def test_the_fingerprint_changes_with_the_rules_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    key = DataKey.generate()
    before = key_fingerprint(key)
    assert key_fingerprint(key) == before
    monkeypatch.setattr(blind_tokens, "WORD_RULES_VERSION", WORD_RULES_VERSION + 1)
    assert key_fingerprint(key) != before
