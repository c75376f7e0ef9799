"""What Parley asks beside the conversation: for a title of it, and for a summary."""

import re
from collections.abc import Sequence

from parley_cli.demo_model.facts import facts_in

LONGEST_SEARCHED = 4000  # Characters of each message: a body of 4 MiB must not stall the server.

_WANTS_TITLE = re.compile(r"^write a title for the conversation\b", re.IGNORECASE)
_WANTS_SUMMARY = re.compile(r"^summarise the conversation\b", re.IGNORECASE)
_SUMMARY = re.compile(r"earlier in this conversation, in summary:\s+(.*)\Z", re.DOTALL)
_PART = re.compile(r"(?:\A|\n\n)(Earlier summary|Person|Assistant|Reply): ")

_TITLE_WORDS = 6
_MOST_SUBJECTS = 5


def answer_to_parley(told: str, shown: str) -> str | None:
    """The answer to Parley's own question, if `told` is one; `shown` is the conversation."""
    if not (wants_title := _WANTS_TITLE.match(told)) and not _WANTS_SUMMARY.match(told):
        return None
    _, *parts = _PART.split(shown)
    said = [
        text[:LONGEST_SEARCHED]
        for speaker, text in zip(parts[::2], parts[1::2], strict=True)
        if speaker in ("Person", "Earlier summary")
    ]
    return _title(said) if wants_title else _summary(said)


def split_summary(told: str) -> tuple[str, str]:
    """The instructions, and the summary of what the model is not shown any more."""
    found = _SUMMARY.search(told)
    return (told[: found.start()], found[1][:LONGEST_SEARCHED]) if found else (told, "")


def _title(said: Sequence[str]) -> str:
    title = _beginning(said[0]) if said else ""
    return title[:1].upper() + title[1:] or "A conversation"


def _summary(said: Sequence[str]) -> str:
    """As statements that `facts_in` finds again."""
    stated = [_statement(subject, value) for subject, value in facts_in(said).items()]
    if stated:
        return f"The person said: {' '.join(stated)}"
    subjects = [_beginning(text) for text in said[-_MOST_SUBJECTS:]]
    return f"The person wrote of: {'; '.join(subjects)}."


def _statement(subject: str, value: str) -> str:
    if subject.startswith("note: "):
        return f"Remember that {value}."
    return f"I live in {value}." if subject == "home" else f"My {subject} is {value}."


def _beginning(text: str) -> str:
    return " ".join(text.split()[:_TITLE_WORDS]).rstrip(".,;:!?")
