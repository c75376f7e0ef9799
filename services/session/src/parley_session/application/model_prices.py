"""Prices of models, read from the models file of inference, and what a reply may cost at most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec

from parley_contracts.session_api.requests import MicroUnits, ModelName
from parley_core.http.errors import NotFound
from parley_core.limits.rules import BUDGETS, LimitRules
from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.text_files import InvalidFile
from parley_core.runtime.yaml_file import read_yaml

VARIABLE = "PARLEY_SESSION_MODELS_PATH"
# As inference reserves in the context of a model whose entry sets no `reply_tokens`.
_MAX_RESERVED_REPLY_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class PricedModel:
    """Prices are in micro-units per million tokens. `fallbacks` may reply in place of it."""

    context_size: int
    reply_tokens: int | None
    prompt: int
    completion: int
    fallbacks: Sequence[str] = ()

    @property
    def prompt_budget(self) -> int:
        """The most tokens of a prompt, as inference has it."""
        return self.context_size - self._reserved_reply_tokens

    def longest_reply(self, given: int | None) -> int:
        """In tokens; `given` is the limit in a request."""
        if given is None:
            return self._reserved_reply_tokens
        return min(given, self.reply_tokens or self.context_size)

    @property
    def _reserved_reply_tokens(self) -> int:
        return self.reply_tokens or min(self.context_size // 4, _MAX_RESERVED_REPLY_TOKENS)


class ModelPrices:
    """All prices are in one `currency`."""

    def __init__(self, models: Mapping[str, PricedModel], currency: str) -> None:
        self._models, self.currency = models, currency

    def replace(self, other: "ModelPrices") -> None:
        """Apply the prices of another one from now on."""
        self._models, self.currency = other._models, other.currency

    def get(self, name: str) -> PricedModel:
        """Raises NotFound: what a model costs that is not in the file is unknown."""
        model = self._models.get(name)
        if model is None:
            raise NotFound("The model does not exist.", code="model_not_found", param="model")
        return model

    def highest_cost(
        self, name: str, prompt_tokens: int, max_reply_tokens: int | None, choices: int = 1
    ) -> int:
        """In millionths of a micro-unit: by the dearest of the models that may reply.

        Raises NotFound.
        """
        model = self.get(name)
        candidates = [model, *(self._models[each] for each in model.fallbacks)]
        return max(
            prompt_tokens * each.prompt
            + choices * each.longest_reply(max_reply_tokens) * each.completion
            for each in candidates
        )


def read_model_prices(path: Path | None, rules: LimitRules) -> ModelPrices:
    """The prices that the budgets in `rules` need; none if there are no budgets.

    Raises InvalidSettings.
    """
    if not rules.limit_any(BUDGETS):
        return ModelPrices({}, "")
    if path is None:
        raise InvalidSettings(
            f"{VARIABLE} is not set. It should be the path of inference's models file: "
            "PARLEY_LIMITS_FILE has budgets, which need the prices of the models."
        )
    try:
        models = read_yaml(path, _File).models
    except InvalidFile as invalid:
        _refuse(str(invalid))
    for model in models:
        if model.price is None:
            _refuse(
                f"the model {model.name} has no price, which the budgets in PARLEY_LIMITS_FILE "
                "need; the price of a free one is 0"
            )
    names = {model.name for model in models}
    if any(not names.issuperset(model.fallbacks) for model in models):
        _refuse("a fallback is no model of the file")
    currencies = sorted({model.price.currency for model in models if model.price})
    if len(currencies) != 1:
        _refuse(
            f"its prices have the currencies {' and '.join(currencies)}, budgets need one"
            if currencies
            else "it has no models"
        )
    return ModelPrices(
        {model.name: _priced(model, model.price) for model in models if model.price}, currencies[0]
    )


def _refuse(reason: str) -> NoReturn:
    raise InvalidSettings(f"{VARIABLE} is wrong: {reason}.")


_Tokens = Annotated[int, msgspec.Meta(ge=1)]


# Inference checks the rest of the file.
class _Price(msgspec.Struct):
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    prompt: MicroUnits
    completion: MicroUnits


class _Model(msgspec.Struct):
    name: ModelName
    context_size: _Tokens
    price: _Price | None = None
    reply_tokens: _Tokens | None = None
    fallbacks: list[ModelName] = []


class _File(msgspec.Struct):
    models: list[_Model]


def _priced(model: _Model, price: _Price) -> PricedModel:
    return PricedModel(
        model.context_size, model.reply_tokens, price.prompt, price.completion, model.fallbacks
    )
