"""How many tokens a text has, counted where the vocabulary of the model is known."""

import re
from functools import lru_cache

import toktok  # type: ignore[import-untyped]

from parley_session.domain.context_window import estimate

_VOCABULARY = "o200k_base"
# gpt-4o and what followed it; not gpt-4, gpt-4-turbo and gpt-3.5, which had another one.
_HAS_VOCABULARY = re.compile(r"(?:.*/)?(?:ft:)?(?:gpt-(?!3|4$|4-)|chatgpt-|o\d)", re.IGNORECASE)

# A longer text is sampled: 256 KiB in random Chinese would hold up the process for 40 ms.
_MOST_COUNTED = 32_768
_SAMPLES = 16


def tokens_in(model: str, text: str) -> int | None:
    """None where the model's vocabulary is not known. Long texts are estimated by samples."""
    if not _HAS_VOCABULARY.match(model):
        return None
    if len(text) <= _MOST_COUNTED:
        return _count([text])
    size = _MOST_COUNTED // _SAMPLES
    step = (len(text) - size) / (_SAMPLES - 1)
    sampled = [text[(at := round(place * step)) : at + size] for place in range(_SAMPLES)]
    return -(-_count(sampled) * len(text) // _MOST_COUNTED)


@lru_cache(maxsize=256)
def tokens_in_instructions(model: str, instructions: str) -> int:
    """Counted or estimated: for the few texts that are told again with every turn."""
    counted = tokens_in(model, instructions)
    return estimate(len(instructions.encode())) if counted is None else counted


def load_vocabulary(model: str) -> None:
    """Half a second, and 64 MB, where the model's vocabulary is known: not within an event loop."""
    tokens_in(model, "")


def _count(texts: list[str]) -> int:
    return sum(toktok.batch_count(texts, _VOCABULARY, threads=1))
