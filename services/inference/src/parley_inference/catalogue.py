"""The models that replies are made with: where each is served, and what it costs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from parley_core.event_values import Price
from parley_core.settings import SettingsWrong
from parley_core.yaml_file import FileWrong, read_yaml

KeyOf = Callable[[str], str | None]
"""The value of an environment variable."""

_DEFAULT_CONTEXT_SIZE = 128_000
# What is left for a reply where a model's entry does not say it: a quarter of the context, at most.
_MOST_REPLY_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class Model:
    """`name` is Parley's; `upstream_name` is what its server calls it; sizes are in tokens.

    `reply_tokens` limits a reply where it is set.
    """

    name: str
    upstream_name: str
    base_url: str
    key: str | None = field(repr=False)
    context_size: int
    price: Price | None
    reply_tokens: int | None = None

    @property
    def prompt_budget(self) -> int:
        """The tokens that a prompt may have: the context, but for the room that a reply needs."""
        room = self.reply_tokens or min(self.context_size // 4, _MOST_REPLY_TOKENS)
        return self.context_size - room


class Catalogue:
    def __init__(self, models: list[Model]) -> None:
        self._models = {model.name: model for model in models}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def get(self, name: str) -> Model | None:
        return self._models.get(name)

    @property
    def budgets(self) -> dict[str, int]:
        """What a prompt may have of each model, in tokens."""
        return {model.name: model.prompt_budget for model in self}


def default_catalogue(*, base_url: str, key: str | None, model: str | None) -> Catalogue:
    """The one model that OPENAI_BASE_URL, OPENAI_API_KEY and PARLEY_MODEL name."""
    if not model:
        raise SettingsWrong(
            "PARLEY_MODEL is not set. It should be the name of a model at OPENAI_BASE_URL, "
            "such as gpt-4.1-mini; or set PARLEY_MODELS to a YAML file of models."
        )
    if not _is_url(base_url):
        raise SettingsWrong(f"OPENAI_BASE_URL is wrong. It should be {_URL_FORM}.")
    return Catalogue([Model(model, model, base_url, key, _DEFAULT_CONTEXT_SIZE, None)])


def read_catalogue(path: Path, key_of: KeyOf) -> Catalogue:
    """The models of the YAML file that PARLEY_MODELS names. Raises SettingsWrong."""
    try:
        entries = read_yaml(path, _File).models
    except FileWrong as wrong:
        raise _wrong(str(wrong)) from None
    if not entries:
        raise _wrong("it names no model")
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise _wrong("two of its models have the same name")
    return Catalogue([_model(entry, key_of) for entry in entries])


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _PriceEntry(msgspec.Struct, forbid_unknown_fields=True):
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    prompt: _Count
    completion: _Count


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    base_url: str
    context_size: Annotated[int, msgspec.Meta(ge=1)]
    key_variable: str | None = None
    price: _PriceEntry | None = None
    reply_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    upstream_name: _Name | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    models: list[_Entry]


def _model(entry: _Entry, key_of: KeyOf) -> Model:
    if not _is_url(entry.base_url):
        raise _wrong(f"base_url of {entry.name} should be {_URL_FORM}")
    key = key_of(entry.key_variable) if entry.key_variable else None
    if entry.key_variable and not key:
        raise SettingsWrong(
            f"{entry.key_variable} is not set. It should be the key of the model {entry.name}, "
            "whose key_variable names it in PARLEY_MODELS."
        )
    if entry.reply_tokens and entry.reply_tokens >= entry.context_size:
        raise _wrong(f"reply_tokens of {entry.name} should be less than its context_size")
    return Model(
        entry.name,
        entry.upstream_name or entry.name,
        entry.base_url,
        key,
        entry.context_size,
        Price(**msgspec.structs.asdict(entry.price)) if entry.price else None,
        entry.reply_tokens,
    )


_URL_FORM = "an http or https URL without a password in it, such as https://api.openai.com/v1"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _wrong(why: str) -> SettingsWrong:
    return SettingsWrong(
        f"PARLEY_MODELS is wrong: {why}. It should be the path of a YAML file with `models`, each "
        "with name, base_url and context_size; key_variable, price, reply_tokens and upstream_name "
        "may follow."
    )
