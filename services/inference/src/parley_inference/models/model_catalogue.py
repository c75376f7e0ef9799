"""Model catalogue: the server, context size, price and fallbacks of every model."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from parley_core.runtime.settings import Count, Seconds, SettingsGroup
from parley_events.values import Price

DEFAULT_CONTEXT_SIZE = 128_000
# Reply tokens reserved where a model's entry sets none: a quarter of the context, up to this.
_MAX_RESERVED_REPLY_TOKENS = 16_384
# Of two limits in a request, the model server may use either one.
_REPLY_LIMITS = ("max_completion_tokens", "max_tokens")


class ServerLimits(SettingsGroup):
    """Concurrency limit and timeouts of one model server; the models file may override them."""

    max_concurrency: Count = Field(
        default=500, description="how many requests one model server gets at once"
    )
    wait_seconds: Seconds = Field(
        default=5, description="how long a request waits for a free slot, in seconds"
    )
    connect_seconds: Seconds = Field(
        default=5, description="timeout of connecting to a model server, in seconds"
    )
    first_token_seconds: Seconds = Field(
        default=60, description="timeout until the first token, in seconds"
    )
    between_tokens_seconds: Seconds = Field(
        default=30, description="timeout between two tokens, in seconds"
    )
    total_seconds: Seconds = Field(
        default=600, description="timeout of a reply with all its retries and fallbacks, in seconds"
    )


@dataclass(frozen=True, slots=True)
class Model:
    """A model under Parley's `name`; its server calls it `upstream_name`. Sizes are in tokens.

    `reply_tokens` caps the length of a reply where it is set; `limits` are those of its server.
    `fallbacks` are the names of the models to try when its server does not answer.
    """

    name: str
    upstream_name: str
    base_url: str
    key: str | None = field(repr=False)
    context_size: int
    price: Price | None
    limits: ServerLimits
    reply_tokens: int | None = None
    fallbacks: tuple[str, ...] = ()

    def limited(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a request, with at most `reply_tokens` for the reply."""
        limited = dict(parameters)
        limit = self.reply_tokens
        given = [each for name in _REPLY_LIMITS if (each := limited.get(name))]
        if limit is not None and not (
            given and all(isinstance(each, int) and each <= limit for each in given)
        ):
            limited.pop("max_tokens", None)
            limited["max_completion_tokens"] = limit
        return limited

    @property
    def prompt_budget(self) -> int:
        """Maximum tokens of a prompt: the context size less the tokens reserved for the reply."""
        reserved = self.reply_tokens or min(self.context_size // 4, _MAX_RESERVED_REPLY_TOKENS)
        return self.context_size - reserved


class ModelCatalogue:
    """Models by name; every fallback of a model must be in the catalogue.

    `key_files` are the files from which keys of the models were read. `fallbacks` counts how often
    the second model of a pair was called because the first had failed, by their names.
    """

    def __init__(self, models: list[Model], *, key_files: Sequence[Path] = ()) -> None:
        self._models = {model.name: model for model in models}
        self.key_files = key_files
        self.fallbacks: Counter[tuple[str, str]] = Counter()

    def count_fallback(self, failed: Model, called: Model) -> None:
        self.fallbacks[failed.name, called.name] += 1

    def replace(self, other: "ModelCatalogue") -> None:
        """Have the models of another one from now on; replies that run keep theirs."""
        self._models, self.key_files = other._models, other.key_files

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def get(self, name: str) -> Model | None:
        return self._models.get(name)

    def candidates(self, model: Model, prompt_tokens: int) -> Sequence[Model]:
        """Return the model, then its fallbacks whose context has room for the prompt."""
        fallbacks = [self._models[name] for name in model.fallbacks]
        return [model, *(each for each in fallbacks if prompt_tokens <= each.prompt_budget)]

    @property
    def prompt_budgets(self) -> dict[str, int]:
        """Prompt budget in tokens by model name."""
        return {model.name: model.prompt_budget for model in self}
