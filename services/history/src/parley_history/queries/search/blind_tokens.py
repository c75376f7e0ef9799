"""Blind tokens: keyed hashes of the words of a text, for search over encrypted messages.

Words are compared without accents and case. Chinese and Japanese are written without spaces, so
each character and each pair of adjacent characters counts as a word.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

from parley_core.crypto.sealing import DataKey, fingerprint

MAX_WORDS = 20_000
"""Different words indexed per text; further words are not found."""

_MAX_WORD_LENGTH = 64
_TOKEN_BYTES = 8

_ACCENTS = re.compile("[\u0300-\u036f]+")
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_UNSPACED}]+|[^\\W_{_UNSPACED}]+")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_FIRST_UNSPACED = "\u3040"


def words_of(text: str) -> set[str]:
    """Return up to MAX_WORDS different words."""
    words = set[str]()
    for word in _split(_normalise(text)):
        words.add(word[:_MAX_WORD_LENGTH])
        if len(words) >= MAX_WORDS:
            break
    return words


def tokens_of(key: DataKey, words: Iterable[str]) -> list[int]:
    """Return 64 bits of each word's HMAC; without the key they only show which words are equal."""
    return [_token(key, word) for word in words]


def key_fingerprint(key: DataKey) -> int:
    """Return a number that distinguishes the key from others and reveals nothing else."""
    return _token(key, "")


def _token(key: DataKey, word: str) -> int:
    digest = fingerprint(key, word.encode(errors="replace"))
    return int.from_bytes(digest[:_TOKEN_BYTES], "big", signed=True)


def _normalise(text: str) -> str:
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", folded)))


def _split(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        word = match[0]
        if word[0] >= _FIRST_UNSPACED and _UNSPACED_CHARACTER.match(word):
            yield from word
            yield from map("".join, pairwise(word))
        else:
            yield word
