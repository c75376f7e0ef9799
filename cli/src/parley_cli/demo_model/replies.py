"""What the demo model says: a pure function of the messages that it was sent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from parley_cli.demo_model.facts import TEXT, facts_in
from parley_cli.demo_model.title_and_summary import (
    LONGEST_SEARCHED,
    answer_to_parley,
    split_summary,
)

DISCLOSURE = (
    "*This is Parley's offline demo model, not a real one. "
    "Set `OPENAI_API_KEY` or `OPENAI_BASE_URL` for a real one.*"
)
LONGEST_QUOTE = 160

_ROLE = re.compile(
    rf"\b(?:you are|your name is) (?:called |named )?({TEXT}{{1,200}})", re.IGNORECASE
)
_ASKS_FACT = re.compile(
    r"\bwhat(?:'s|’s| is| was) my ([a-z ]{1,90}?) ?(?:[?.!\n]|$)", re.IGNORECASE
)
_ASKS_HOME = re.compile(r"\bwhere do i live\b", re.IGNORECASE)
_ASKS_FACTS = re.compile(r"\bwhat do you (?:remember|know)\b|\bwho am i\b", re.IGNORECASE)
_ASKS_SUMMARY = re.compile(r"\bsummar(?:y|i[sz]e)\b|\brecap\b", re.IGNORECASE)
_ASKS_SAID = re.compile(
    r"\bwhat (?:did|have) i (?:\w{1,20} )?(?:say|said|ask|asked|tell|told|write|written)\b"
    r"|\bwhat was my (?:first|last|previous) (?:message|question)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Message:
    role: str
    text: str


@dataclass(frozen=True)
class Reply:
    """An answer in pieces that join to its text; one piece is counted as one token."""

    pieces: tuple[str, ...]
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def usage(self) -> dict[str, int]:
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": len(self.pieces)}
        return usage | {"total_tokens": sum(usage.values())}


def reply_to(messages: Sequence[Message], max_tokens: int | None = None) -> Reply:
    pieces = tuple(re.findall(r"\S+\s*", answer(messages)))
    prompt_tokens = sum(len(message.text.split()) for message in messages)
    if max_tokens is not None and len(pieces) > max_tokens:
        return Reply(pieces[:max_tokens], "length", prompt_tokens)
    return Reply(pieces, "stop", prompt_tokens)


def answer(messages: Sequence[Message]) -> str:
    told = [m.text for m in messages if m.role in ("system", "developer")]
    asked = [m.text for m in messages if m.role == "user"]
    if told and asked and (answered := answer_to_parley(told[0], asked[-1])):
        return answered
    said = [text[:LONGEST_SEARCHED] for text in asked]
    split = [split_summary(text) for text in told]
    summaries = [summary for _, summary in split if summary]
    parts = [
        DISCLOSURE,
        _answering_as([instructions for instructions, _ in split]),
        _body(said, facts_in([*summaries, *said])),
        _context(messages, said),
        "Of what was before that I was sent a summary." if summaries else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _body(said: Sequence[str], facts: dict[str, str]) -> str:
    if not said:
        return "No message from a user has reached me yet."
    *earlier, latest = said
    if _ASKS_SUMMARY.search(latest):
        return _summary(earlier, facts)
    if _ASKS_SAID.search(latest):
        return _what_was_said(earlier, latest)
    if _ASKS_HOME.search(latest):
        return _recalled("home", facts)
    if asked := _ASKS_FACT.search(latest):
        return _recalled(asked[1].lower(), facts)
    if _ASKS_FACTS.search(latest):
        return "What you told me:\n\n" + _listed(facts) if facts else "You told me no facts yet."
    if stated := facts_in([latest]):
        return "Noted:\n\n" + _listed(stated)
    return f"You wrote:\n\n> {_quoted(latest)}"


def _summary(earlier: Sequence[str], facts: dict[str, str]) -> str:
    if not earlier:
        return "There is nothing to summarise yet: this is your first message."
    lines = [f"{place}. {_quoted(text)}" for place, text in enumerate(earlier, start=1)]
    summary = "So far you said:\n\n" + "\n".join(lines)
    return f"{summary}\n\nFrom this I know:\n\n{_listed(facts)}" if facts else summary


def _what_was_said(earlier: Sequence[str], latest: str) -> str:
    if not earlier:
        return "You said nothing before this message."
    if re.search(r"\bfirst\b", latest, re.IGNORECASE):
        return f"Your first message was:\n\n> {_quoted(earlier[0])}"
    return f"Just before this you said:\n\n> {_quoted(earlier[-1])}"


def _recalled(subject: str, facts: dict[str, str]) -> str:
    if subject not in facts:
        return f"You have not told me your {subject} in the messages that I was sent."
    if subject == "home":
        return f"You live in **{facts[subject]}**."
    return f"Your {subject} is **{facts[subject]}**."


def _listed(facts: dict[str, str]) -> str:
    return "\n".join(
        f"- {value}" if subject.startswith("note: ") else f"- your {subject}: **{value}**"
        for subject, value in facts.items()
    )


def _answering_as(prompts: Sequence[str]) -> str:
    named = next((found for prompt in prompts if (found := _ROLE.search(prompt))), None)
    return f"Answering as {_quoted(named[1])}." if named else ""


def _context(messages: Sequence[Message], said: Sequence[str]) -> str:
    answers = sum(message.role == "assistant" for message in messages)
    earlier = max(len(said) - 1, 0)
    context = f"Earlier turns I was sent: {earlier} from you, {answers} from me."
    return f"{context} The first began: “{_quoted(said[0])}”" if earlier else context


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1] + "…"
