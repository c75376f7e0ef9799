"""Extracts facts that a user stated, such as "my name is Ada"."""

import re
from collections.abc import Sequence

# A dot ends a sentence, but not within "3.11" or "parley.dev".
TEXT = r"(?:[^.,;!?\n]|\.(?=\w))"
_END = r"\.(?!\w)|[!\n]|$"
# A value ends before "and" or "but", or with its sentence; before "?" it is a question.
_VALUE = rf"({TEXT}{{1,200}}?)(?=\s(?:and|but)\s|[,;]|{_END})"
_ABOUT_ME = re.compile(
    rf"\bmy ([a-z]{{1,30}}(?: [a-z]{{1,30}}){{0,2}}?) is {_VALUE}", re.IGNORECASE
)
_CALL_ME = re.compile(rf"\b(?:call me|i am called|i'm called) {_VALUE}", re.IGNORECASE)
_HOME = re.compile(rf"\bi live in {_VALUE}", re.IGNORECASE)
_REMEMBER = re.compile(
    rf"(?:^|[.!\n] ?|please )remember that ((?:{TEXT}|[,;]){{1,300}})(?:{_END})", re.IGNORECASE
)


def facts_in(texts: Sequence[str]) -> dict[str, str]:
    """The stated facts by subject; a later statement replaces an earlier one."""
    facts: dict[str, str] = {}
    for text in texts:
        facts |= {subject.lower(): value.strip() for subject, value in _ABOUT_ME.findall(text)}
        facts |= [("name", value.strip()) for value in _CALL_ME.findall(text)]
        facts |= [("home", value.strip()) for value in _HOME.findall(text)]
        facts |= {f"note: {note.strip().lower()}": note.strip() for note in _REMEMBER.findall(text)}
    return facts
