"""Replies to Parley's own background prompts: the title and the summary of a conversation."""

import re
from collections.abc import Sequence

from parley_cli.demo_model.facts import facts_in

# A limit per message, so that the regular expressions cannot stall the server on a 4 MiB body.
MAX_SEARCHED_CHARACTERS = 4000

_WANTS_TITLE = re.compile(r"^write a title for the conversation\b", re.IGNORECASE)
_WANTS_SUMMARY = re.compile(r"^summarise the conversation\b", re.IGNORECASE)
_SUMMARY = re.compile(r"earlier in this conversation, in summary:\s+(.*)\Z", re.DOTALL)
_PART = re.compile(r"(?:\A|\n\n)(Earlier summary|Person|Assistant|Reply): ")

_TITLE_WORDS = 6
_MAX_SUBJECTS = 5


def title_or_summary(instructions: str, transcript: str) -> str | None:
    """The title or summary of the transcript if the instructions ask for one, else None."""
    if not (wants_title := _WANTS_TITLE.match(instructions)) and not _WANTS_SUMMARY.match(
        instructions
    ):
        return None
    _, *parts = _PART.split(transcript)
    texts = [
        text[:MAX_SEARCHED_CHARACTERS]
        for speaker, text in zip(parts[::2], parts[1::2], strict=True)
        if speaker in ("Person", "Earlier summary")
    ]
    return _title(texts) if wants_title else _summary(texts)


def split_summary(instructions: str) -> tuple[str, str]:
    """The instructions, and the summary of the messages left out of the prompt."""
    match = _SUMMARY.search(instructions)
    if match is None:
        return instructions, ""
    return instructions[: match.start()], match[1][:MAX_SEARCHED_CHARACTERS]


def _title(texts: Sequence[str]) -> str:
    title = _beginning(texts[0]) if texts else ""
    return title[:1].upper() + title[1:] or "A conversation"


def _summary(texts: Sequence[str]) -> str:
    """A summary in statements that `facts_in` recognises."""
    stated = [_statement(subject, value) for subject, value in facts_in(texts).items()]
    if stated:
        return f"The person said: {' '.join(stated)}"
    subjects = [_beginning(text) for text in texts[-_MAX_SUBJECTS:]]
    return f"The person wrote of: {'; '.join(subjects)}."


def _statement(subject: str, value: str) -> str:
    if subject.startswith("note: "):
        return f"Remember that {value}."
    return f"I live in {value}." if subject == "home" else f"My {subject} is {value}."


def _beginning(text: str) -> str:
    return " ".join(text.split()[:_TITLE_WORDS]).rstrip(".,;:!?")
