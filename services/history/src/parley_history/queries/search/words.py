"""Words of a text in any script, for search.

Words are runs of letters, digits and their marks (Unicode, UAX #29), compared without case, width,
accents, and the points of Arabic, Hebrew and Syriac. They also end at apostrophes, full stops and
underscores, so that "homme" is found in "l'homme". Scripts that are written without spaces, and
Korean, which joins particles to words, have no such words: each character (grapheme cluster) and
each pair of adjacent characters counts as one. Each emoji is a word, whatever its skin tone.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

import regex

WORD_RULES_VERSION = 1
"""To be raised when the rules change, or `regex` changes its Unicode version.

Indexes of another version are rebuilt.
"""

MAX_WORDS = 20_000
"""Different words indexed per text; further words are not found."""

_MAX_WORD_LENGTH = 64

# Inherited marks are accents of several scripts, except those that make other letters of kana.
# U+0640, the tatweel, only stretches an Arabic word.
_IGNORED = regex.compile(
    r"[\p{Default_Ignorable_Code_Point}\u0640"
    r"[[\p{M}&&[\p{sc=Inherited}\p{sc=Arabic}\p{sc=Hebrew}\p{sc=Syriac}]]--[\u3099\u309a]]]+",
    regex.V1,
)
# Line_Break=SA are Thai, Lao, Khmer, Myanmar, and the smaller scripts of their region.
_UNSPACED = (
    r"[[\p{L}\p{M}\p{Nl}]&&[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Bopomofo}"
    r"\p{scx=Hangul}\p{Line_Break=SA}]]"
)
_WORD = regex.compile(
    rf"(?P<unspaced>{_UNSPACED}+)"
    rf"|[[\p{{L}}\p{{N}}]--{_UNSPACED}][[\p{{L}}\p{{M}}\p{{N}}]--{_UNSPACED}]*"
    r"|\p{Regional_Indicator}{2}|\p{Extended_Pictographic}",
    regex.V1,
)
_CHARACTER = regex.compile(r"\X")
_ASCII_WORD = re.compile("[a-z0-9]+")


def words_of(text: str) -> set[str]:
    """Return up to MAX_WORDS different words, under which a text is indexed."""
    return _bounded(_ascii_words(text) if text.isascii() else _unicode_words(text))


def words_of_query(query: str) -> set[str]:
    """Return the words of which a match has all.

    Of adjacent characters only the pairs: a text that has them has the characters as well, which
    occur in so many texts that looking them up takes longer than all the rest.
    """
    return _bounded(
        _ascii_words(query) if query.isascii() else _unicode_words(query, for_query=True)
    )


def _bounded(found: Iterable[str]) -> set[str]:
    words = set[str]()
    for word in found:
        words.add(word[:_MAX_WORD_LENGTH])
        if len(words) >= MAX_WORDS:
            break
    return words


def _ascii_words(text: str) -> Iterable[str]:
    """The same words as of the general rules, several times faster."""
    return (match[0] for match in _ASCII_WORD.finditer(text.lower()))


def _unicode_words(text: str, *, for_query: bool = False) -> Iterator[str]:
    for match in _WORD.finditer(_normalise(text)):
        if run := match["unspaced"]:
            is_one_character = _CHARACTER.fullmatch(run) is not None
            if is_one_character or not for_query:
                yield from _characters(run)
            yield from map("".join, pairwise(_characters(run)))
        else:
            yield match[0]


def _characters(run: str) -> Iterator[str]:
    """One at a time: a list of 85,000 would hold the interpreter's lock for 15 ms."""
    return (match[0] for match in _CHARACTER.finditer(run))


def _normalise(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", _IGNORED.sub("", unicodedata.normalize("NFKD", folded)))
