"""The models that replies are made with: where each is served, and what it costs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from parley_events.values import Price

DEFAULT_CONTEXT_SIZE = 128_000
# What is left for a reply where a model's entry does not say it: a quarter of the context, at most.
_MOST_REPLY_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How many requests one model server gets at once, and how long each wait for it may take.

    Seconds: `wait` is for room; `total` bounds a whole reply, with all that is tried for it.
    """

    at_once: int
    wait: float
    connect: float
    first_token: float
    between_tokens: float
    total: float


@dataclass(frozen=True, slots=True)
class Model:
    """`name` is Parley's; `upstream_name` is what its server calls it; sizes are in tokens.

    `reply_tokens` limits a reply where it is set; `limits` are those of its server. `fallbacks`
    are the names of the models that are asked instead when its server does not answer.
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

    @property
    def prompt_budget(self) -> int:
        """The tokens that a prompt may have: the context, but for the room that a reply needs."""
        room = self.reply_tokens or min(self.context_size // 4, _MOST_REPLY_TOKENS)
        return self.context_size - room


class ModelCatalogue:
    """Every fallback of a model has to be in it too."""

    def __init__(self, models: list[Model]) -> None:
        self._models = {model.name: model for model in models}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def get(self, name: str) -> Model | None:
        return self._models.get(name)

    def line(self, model: Model, prompt_tokens: int) -> Sequence[Model]:
        """The model and its fallbacks, but for those whose context has no room for the prompt."""
        fallbacks = [self._models[name] for name in model.fallbacks]
        return [model, *(each for each in fallbacks if prompt_tokens <= each.prompt_budget)]

    @property
    def budgets(self) -> dict[str, int]:
        """What a prompt may have of each model, in tokens."""
        return {model.name: model.prompt_budget for model in self}
