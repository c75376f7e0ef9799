"""Where the catalogue comes from: the file that PARLEY_MODELS names, or three variables."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.yaml_file import InvalidFile, read_yaml
from parley_events.values import Price
from parley_inference.models.model_catalogue import (
    DEFAULT_CONTEXT_SIZE,
    Model,
    ModelCatalogue,
    ServerLimits,
)

KeyOf = Callable[[str], str | None]
"""The value of an environment variable."""


def default_catalogue(
    limits: ServerLimits, *, base_url: str, key: str | None, model: str | None
) -> ModelCatalogue:
    """The one model that OPENAI_BASE_URL, OPENAI_API_KEY and PARLEY_MODEL name."""
    if not model:
        raise InvalidSettings(
            "PARLEY_MODEL is not set. It should be the name of a model at OPENAI_BASE_URL, "
            "such as gpt-4.1-mini; or set PARLEY_MODELS to a YAML file of models."
        )
    if not _is_url(base_url):
        raise InvalidSettings(f"OPENAI_BASE_URL is wrong. It should be {_URL_FORM}.")
    return ModelCatalogue([Model(model, model, base_url, key, DEFAULT_CONTEXT_SIZE, None, limits)])


def read_catalogue(path: Path, key_of: KeyOf, limits: ServerLimits) -> ModelCatalogue:
    """The models of the YAML file that PARLEY_MODELS names; `limits` are those of its servers.

    Raises InvalidSettings.
    """
    try:
        file = read_yaml(path, _File)
    except InvalidFile as wrong:
        raise _wrong(str(wrong)) from None
    if not file.models:
        raise _wrong("it names no model")
    names = [entry.name for entry in file.models]
    if len(set(names)) < len(names):
        raise _wrong("two of its models have the same name")
    servers = _servers(file, limits)
    for entry in file.models:
        _check_fallbacks(entry, names)
    return ModelCatalogue(
        [_model(entry, key_of, servers.get(entry.base_url, limits)) for entry in file.models]
    )


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


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
    fallbacks: list[_Name] = []


class _Server(msgspec.Struct, forbid_unknown_fields=True):
    base_url: str
    at_once: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    wait_seconds: _Seconds | None = None
    connect_seconds: _Seconds | None = None
    first_token_seconds: _Seconds | None = None
    between_tokens_seconds: _Seconds | None = None
    total_seconds: _Seconds | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    models: list[_Entry]
    servers: list[_Server] = []


def _servers(file: _File, limits: ServerLimits) -> dict[str, ServerLimits]:
    """The limits of the servers that the file has limits for, by their base URL."""
    used = {entry.base_url for entry in file.models}
    servers: dict[str, ServerLimits] = {}
    for entry in file.servers:
        given = msgspec.structs.asdict(entry)
        url = given.pop("base_url")
        if url not in used:
            raise _wrong("one of its servers has a base_url that none of its models has")
        if url in servers:
            raise _wrong("two of its servers have the same base_url")
        named = {name.removesuffix("_seconds"): value for name, value in given.items() if value}
        servers[url] = replace(limits, **named)
    return servers


def _check_fallbacks(entry: _Entry, names: list[str]) -> None:
    """They are not followed any further, so that each model is asked once at most."""
    others = [entry.name, *entry.fallbacks]
    if len(set(others)) < len(others):
        raise _wrong(f"fallbacks of {entry.name} should name each other model once at most")
    if not set(others) <= set(names):
        raise _wrong(f"fallbacks of {entry.name} should be names of its models")


def _model(entry: _Entry, key_of: KeyOf, limits: ServerLimits) -> Model:
    if not _is_url(entry.base_url):
        raise _wrong(f"base_url of {entry.name} should be {_URL_FORM}")
    key = key_of(entry.key_variable) if entry.key_variable else None
    if entry.key_variable and not key:
        raise InvalidSettings(
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
        limits,
        entry.reply_tokens,
        tuple(entry.fallbacks),
    )


_URL_FORM = "an http or https URL without a password in it, such as https://api.openai.com/v1"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _wrong(why: str) -> InvalidSettings:
    return InvalidSettings(
        f"PARLEY_MODELS is wrong: {why}. It should be the path of a YAML file with `models`, each "
        "with name, base_url and context_size; key_variable, price, reply_tokens, upstream_name "
        "and fallbacks may follow. `servers` may have a base_url's own limits."
    )
