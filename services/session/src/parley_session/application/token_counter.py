"""Token counter: counts the tokens of a text for models whose vocabulary is known."""

import re
from functools import lru_cache

import toktok  # type: ignore[import-untyped]

from parley_core.token_estimate import estimate_tokens

_VOCABULARY = "o200k_base"
# Models from gpt-4o on; gpt-4, gpt-4-turbo and gpt-3.5 have another vocabulary.
_HAS_VOCABULARY = re.compile(r"(?:.*/)?(?:ft:)?(?:gpt-(?!3|4$|4-)|chatgpt-|o\d)", re.IGNORECASE)

# Longer texts are sampled: counting 256 KiB of random Chinese would block the process for 40 ms.
_MAX_COUNTED_LENGTH = 32_768
_SAMPLES = 16


def count_tokens(model: str, text: str) -> int | None:
    """None if the model's vocabulary is unknown. The count of a long text is extrapolated."""
    if not _HAS_VOCABULARY.match(model):
        return None
    if len(text) <= _MAX_COUNTED_LENGTH:
        return _count([text])
    size = _MAX_COUNTED_LENGTH // _SAMPLES
    step = (len(text) - size) / (_SAMPLES - 1)
    samples = [text[(start := round(number * step)) : start + size] for number in range(_SAMPLES)]
    return -(-_count(samples) * len(text) // _MAX_COUNTED_LENGTH)


@lru_cache(maxsize=256)
def count_instruction_tokens(model: str, instructions: str) -> int:
    """Counted or estimated; cached, because every turn repeats the same few instructions."""
    counted = count_tokens(model, instructions)
    if counted is not None:
        return counted
    return estimate_tokens(len(instructions.encode()), cautious=True)


def load_vocabulary(model: str) -> None:
    """Load the model's vocabulary, if known: takes half a second of CPU and 64 MB."""
    count_tokens(model, "")


def _count(texts: list[str]) -> int:
    return sum(toktok.batch_count(texts, _VOCABULARY, threads=1))
