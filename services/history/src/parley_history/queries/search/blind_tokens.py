"""Blind tokens: keyed hashes of the words of a text, for search over encrypted messages."""

from collections.abc import Iterable

from parley_core.crypto.sealing import DataKey, fingerprint
from parley_history.queries.search.words import WORD_RULES_VERSION

_TOKEN_BYTES = 8


def tokens_of(key: DataKey, words: Iterable[str]) -> list[int]:
    """Return 64 bits of each word's HMAC; without the key they only show which words are equal."""
    return [_token(key, word) for word in words]


def key_fingerprint(key: DataKey) -> int:
    """Return a number that distinguishes the key and the rules of words, and reveals no more.

    An index with another fingerprint is rebuilt.
    """
    # No word contains a space.
    return _token(key, f"word rules {WORD_RULES_VERSION}")


def _token(key: DataKey, word: str) -> int:
    digest = fingerprint(key, word.encode(errors="replace"))
    return int.from_bytes(digest[:_TOKEN_BYTES], "big", signed=True)
