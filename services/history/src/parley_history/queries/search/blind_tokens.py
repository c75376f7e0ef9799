"""The words of a text, as they are compared, and as they are stored: blind, under a person's key.

Accents and case do not count. Chinese and Japanese are written without spaces: there each
character is a word, and each pair of neighbours.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

from parley_core.crypto.sealing import DataKey, fingerprint

MOST_WORDS = 20_000
"""Of one text; what is beyond is not found."""

_LONGEST_WORD = 64
_TOKEN_BYTES = 8

_ACCENTS = re.compile("[\u0300-\u036f]+")
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_UNSPACED}]+|[^\\W_{_UNSPACED}]+")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_FIRST_UNSPACED = "\u3040"


def words_of(text: str) -> set[str]:
    """At most MOST_WORDS different words."""
    words = set[str]()
    for word in _written(_normalised(text)):
        words.add(word[:_LONGEST_WORD])
        if len(words) >= MOST_WORDS:
            break
    return words


def tokens_of(key: DataKey, words: Iterable[str]) -> list[int]:
    """64 bits of each word's HMAC: without the key they tell only which words are equal."""
    return [_token(key, word) for word in words]


def mark_of(key: DataKey) -> int:
    """What tells a key from another, and nothing else of it."""
    return _token(key, "")


def _token(key: DataKey, word: str) -> int:
    digest = fingerprint(key, word.encode(errors="replace"))
    return int.from_bytes(digest[:_TOKEN_BYTES], "big", signed=True)


def _normalised(text: str) -> str:
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", folded)))


def _written(text: str) -> Iterator[str]:
    for found in _WORD.finditer(text):
        word = found[0]
        if word[0] >= _FIRST_UNSPACED and _UNSPACED_CHARACTER.match(word):
            yield from word
            yield from map("".join, pairwise(word))
        else:
            yield word
