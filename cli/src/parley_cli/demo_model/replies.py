"""Replies of the demo model: a pure function of the messages in the request."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from parley_cli.demo_model.facts import TEXT, facts_in
from parley_cli.demo_model.title_and_summary import (
    MAX_SEARCHED_CHARACTERS,
    split_summary,
    title_or_summary,
)

DISCLOSURE = (
    "*This is Parley's offline demo model, not a real one. "
    "Set `OPENAI_API_KEY` or `OPENAI_BASE_URL` for a real one.*"
)
MAX_QUOTE_CHARACTERS = 160

_ROLE = re.compile(
    rf"\b(?:you are|your name is) (?:called |named )?({TEXT}{{1,200}})", re.IGNORECASE
)
_ASKS_FACT = re.compile(
    r"\bwhat(?:'s|’s| is| was) my ([a-z ]{1,90}?) ?(?:[?.!\n]|$)", re.IGNORECASE
)
_ASKS_HOME = re.compile(r"\bwhere do i live\b", re.IGNORECASE)
_ASKS_FACTS = re.compile(r"\bwhat do you (?:remember|know)\b|\bwho am i\b", re.IGNORECASE)
_ASKS_SUMMARY = re.compile(r"\bsummar(?:y|i[sz]e)\b|\brecap\b", re.IGNORECASE)
_ASKS_OWN_MESSAGES = re.compile(
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
    """A reply in pieces that join to its text; each piece counts as one token."""

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
    pieces = tuple(re.findall(r"\S+\s*", reply_text(messages)))
    prompt_tokens = sum(len(message.text.split()) for message in messages)
    if max_tokens is not None and len(pieces) > max_tokens:
        return Reply(pieces[:max_tokens], "length", prompt_tokens)
    return Reply(pieces, "stop", prompt_tokens)


def reply_text(messages: Sequence[Message]) -> str:
    system_texts = [m.text for m in messages if m.role in ("system", "developer")]
    user_texts = [m.text for m in messages if m.role == "user"]
    if (
        system_texts
        and user_texts
        and (background_reply := title_or_summary(system_texts[0], user_texts[-1]))
    ):
        return background_reply
    user_texts = [text[:MAX_SEARCHED_CHARACTERS] for text in user_texts]
    split = [split_summary(text) for text in system_texts]
    summaries = [summary for _, summary in split if summary]
    parts = [
        DISCLOSURE,
        _role([instructions for instructions, _ in split]),
        _body(user_texts, facts_in([*summaries, *user_texts])),
        _context(messages, user_texts),
        "Earlier messages were sent to me as a summary." if summaries else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _body(user_texts: Sequence[str], facts: dict[str, str]) -> str:
    if not user_texts:
        return "The request contains no user message."
    *earlier, latest = user_texts
    if _ASKS_SUMMARY.search(latest):
        return _summary(earlier, facts)
    if _ASKS_OWN_MESSAGES.search(latest):
        return _earlier_message(earlier, latest)
    if _ASKS_HOME.search(latest):
        return _recall("home", facts)
    if question := _ASKS_FACT.search(latest):
        return _recall(question[1].lower(), facts)
    if _ASKS_FACTS.search(latest):
        return "What you told me:\n\n" + _fact_list(facts) if facts else "You told me no facts yet."
    if stated := facts_in([latest]):
        return "Noted:\n\n" + _fact_list(stated)
    return f"You wrote:\n\n> {_quote(latest)}"


def _summary(earlier: Sequence[str], facts: dict[str, str]) -> str:
    if not earlier:
        return "There is nothing to summarise yet: this is your first message."
    lines = [f"{number}. {_quote(text)}" for number, text in enumerate(earlier, start=1)]
    summary = "So far you said:\n\n" + "\n".join(lines)
    return f"{summary}\n\nFrom this I know:\n\n{_fact_list(facts)}" if facts else summary


def _earlier_message(earlier: Sequence[str], latest: str) -> str:
    if not earlier:
        return "You said nothing before this message."
    if re.search(r"\bfirst\b", latest, re.IGNORECASE):
        return f"Your first message was:\n\n> {_quote(earlier[0])}"
    return f"Just before this you said:\n\n> {_quote(earlier[-1])}"


def _recall(subject: str, facts: dict[str, str]) -> str:
    if subject not in facts:
        return f"You have not told me your {subject} in the messages that I was sent."
    if subject == "home":
        return f"You live in **{facts[subject]}**."
    return f"Your {subject} is **{facts[subject]}**."


def _fact_list(facts: dict[str, str]) -> str:
    return "\n".join(
        f"- {value}" if subject.startswith("note: ") else f"- your {subject}: **{value}**"
        for subject, value in facts.items()
    )


def _role(prompts: Sequence[str]) -> str:
    match = next((match for prompt in prompts if (match := _ROLE.search(prompt))), None)
    return f"Answering as {_quote(match[1])}." if match else ""


def _context(messages: Sequence[Message], user_texts: Sequence[str]) -> str:
    replies = sum(message.role == "assistant" for message in messages)
    earlier = max(len(user_texts) - 1, 0)
    context = f"Earlier turns I was sent: {earlier} from you, {replies} from me."
    return f"{context} The first began: “{_quote(user_texts[0])}”" if earlier else context


def _quote(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_QUOTE_CHARACTERS else line[: MAX_QUOTE_CHARACTERS - 1] + "…"
