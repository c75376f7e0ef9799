"""Loads the model catalogue from its YAML file, or from the variables of a single model."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from parley_contracts.session_api.requests import MicroUnits, ModelName
from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.text_files import InvalidFile, read_secret_file
from parley_core.runtime.yaml_file import read_yaml
from parley_events.values import Price
from parley_inference.models.model_catalogue import (
    DEFAULT_CONTEXT_SIZE,
    Model,
    ModelCatalogue,
    ServerLimits,
)

ReadVariable = Callable[[str], str | None]
"""Returns the value of an environment variable."""


def single_model_catalogue(
    limits: ServerLimits, *, base_url: str, key: str | None, model: str | None
) -> ModelCatalogue:
    """A catalogue of one model: OPENAI_BASE_URL, OPENAI_API_KEY and PARLEY_MODEL."""
    if not model:
        raise InvalidSettings(
            "PARLEY_MODEL is not set. It should be the name of a model at OPENAI_BASE_URL, "
            "such as gpt-4.1-mini; or set PARLEY_INFERENCE_MODELS_PATH to a YAML file of models."
        )
    if not _is_url(base_url):
        raise InvalidSettings(f"OPENAI_BASE_URL is wrong. It should be {_URL_FORM}.")
    return ModelCatalogue([Model(model, model, base_url, key, DEFAULT_CONTEXT_SIZE, None, limits)])


def read_catalogue(path: Path, read_variable: ReadVariable, limits: ServerLimits) -> ModelCatalogue:
    """Read the YAML file at PARLEY_INFERENCE_MODELS_PATH; `limits` are the servers' defaults.

    Raises InvalidSettings.
    """
    try:
        file = read_yaml(path, _File)
    except InvalidFile as error:
        raise _invalid(str(error)) from None
    if not file.models:
        raise _invalid("it has no models")
    names = [entry.name for entry in file.models]
    if len(set(names)) < len(names):
        raise _invalid("two models have the same name")
    servers = _servers(file, limits)
    for entry in file.models:
        _check_fallbacks(entry, names)
    return ModelCatalogue(
        [
            _model(entry, read_variable, servers.get(entry.base_url, limits))
            for entry in file.models
        ],
        key_files=[Path(entry.key_file) for entry in file.models if entry.key_file],
    )


_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class _PriceEntry(msgspec.Struct, forbid_unknown_fields=True):
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    prompt: MicroUnits
    completion: MicroUnits


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: ModelName
    base_url: str
    context_size: Annotated[int, msgspec.Meta(ge=1)]
    key_variable: str | None = None
    key_file: str | None = None
    price: _PriceEntry | None = None
    reply_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    upstream_name: ModelName | None = None
    fallbacks: list[ModelName] = []


class _Server(msgspec.Struct, forbid_unknown_fields=True):
    base_url: str
    max_concurrency: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    wait_seconds: _Seconds | None = None
    connect_seconds: _Seconds | None = None
    first_token_seconds: _Seconds | None = None
    between_tokens_seconds: _Seconds | None = None
    total_seconds: _Seconds | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    models: list[_Entry]
    servers: list[_Server] = []


def _servers(file: _File, limits: ServerLimits) -> dict[str, ServerLimits]:
    """The limits of the servers that have an entry of their own, by base URL."""
    used = {entry.base_url for entry in file.models}
    servers: dict[str, ServerLimits] = {}
    for entry in file.servers:
        own = msgspec.structs.asdict(entry)
        url = own.pop("base_url")
        if url not in used:
            raise _invalid("the base_url of a server is used by no model")
        if url in servers:
            raise _invalid("two servers have the same base_url")
        servers[url] = limits.model_copy(
            update={name: value for name, value in own.items() if value}
        )
    return servers


def _check_fallbacks(entry: _Entry, names: list[str]) -> None:
    """Check the names; a fallback's own fallbacks are not followed, so a model is tried once."""
    chain = [entry.name, *entry.fallbacks]
    if len(set(chain)) < len(chain):
        raise _invalid(f"fallbacks of {entry.name} should name every other model at most once")
    if not set(chain) <= set(names):
        raise _invalid(f"fallbacks of {entry.name} should be names of models in the file")


def _model(entry: _Entry, read_variable: ReadVariable, limits: ServerLimits) -> Model:
    if not _is_url(entry.base_url):
        raise _invalid(f"base_url of {entry.name} should be {_URL_FORM}")
    if entry.key_variable and entry.key_file:
        raise _invalid(f"{entry.name} has both key_variable and key_file")
    key = read_variable(entry.key_variable) if entry.key_variable else None
    if entry.key_file:
        try:
            key = read_secret_file(Path(entry.key_file))
        except InvalidFile as invalid:
            raise _invalid(f"key_file of {entry.name}: {invalid}") from None
    if entry.key_variable and not key:
        raise InvalidSettings(
            f"{entry.key_variable} is not set. It should be the key of the model {entry.name}, "
            "which has it as key_variable in PARLEY_INFERENCE_MODELS_PATH."
        )
    if entry.reply_tokens and entry.reply_tokens >= entry.context_size:
        raise _invalid(f"reply_tokens of {entry.name} should be less than its context_size")
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


_URL_FORM = "an http or https URL without a password, such as https://api.openai.com/v1"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _invalid(reason: str) -> InvalidSettings:
    return InvalidSettings(
        f"PARLEY_INFERENCE_MODELS_PATH is wrong: {reason}. It should be the path of a YAML file "
        "with `models`, each with name, base_url and context_size, and optionally key_variable "
        "or key_file, price, reply_tokens, upstream_name and fallbacks. `servers` may set the "
        "limits of a base_url."
    )
