"""Settings of a process, read once from environment variables and rejected in plain sentences."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from parley_core.runtime.database_url import PORT, check_database_url
from parley_core.runtime.text_files import InvalidFile, read_secret_file

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Variable:
    """The environment variable of one field: `Annotated[str, Variable("OPENAI_BASE_URL")]`."""

    name: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """The prefix of a group's variables: `Annotated[KafkaSettings, Prefix("PARLEY_KAFKA_")]`."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks a value that may be in a file, as that of a SecretStr may without this mark."""


class SettingsGroup(BaseModel):
    """The settings of one component, defined beside it and composed by a service's `Settings`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )


class Settings(BaseSettings):
    """Base of a service's settings, with one environment variable per field.

    A subclass sets its prefix as a class keyword: `class SessionSettings(Settings,
    env_prefix="PARLEY_SESSION_")`. Its field `port` is read from PARLEY_SESSION_PORT, and the field
    `max_bytes` of its group `cache` from PARLEY_SESSION_CACHE_MAX_BYTES. An empty variable counts
    as not set. A secret may be in a file, which the variable with `_FILE` at its end names. The
    description of a field completes the sentence "It should be …". The ValueError of a validator is
    shown as it is, so it must not quote the value.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        env_prefix="PARLEY_",
        extra="forbid",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _EnvironmentSource(settings_cls)


Count = Annotated[int, Field(ge=1, description="a whole number from 1")]
CountOrZero = Annotated[int, Field(ge=0, description="a whole number from 0")]
Seconds = Annotated[float, Field(gt=0, le=86_400, description="seconds, over 0 and up to 86400")]
Names = Annotated[
    frozenset[str],
    BeforeValidator(
        lambda text: [each.strip() for each in text.split(",")] if isinstance(text, str) else text
    ),
    Field(description="names with commas between them"),
]
Port = Annotated[int, Field(ge=1, le=65535, description="the port to listen on, from 1 to 65535")]
BaseUrl = Annotated[
    str,
    Field(pattern="^https?://[^/]", description="a base URL such as http://127.0.0.1:8081"),
]

SharedPortSetting = Annotated[
    Port | None,
    Variable("PARLEY_SHARED_PORT"),
    Field(description="a second port that the replicas of a service on one machine share"),
]
"""A second port at which several replicas of a service on one machine listen together."""

_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")
BootstrapServers = Annotated[
    str,
    Field(
        pattern=rf"^[^\s,/]+:{PORT}(,[^\s,/]+:{PORT})*$",
        description="Kafka's bootstrap servers, such as 127.0.0.1:9092",
    ),
]
RedisUrl = Annotated[
    str,
    Secret(),
    Field(
        pattern=rf"^rediss?://([^\s/@]*@)?(\[[0-9A-Fa-f:.]+\]|[^\]\[\s:/@]+)(:{PORT})?(/\S*)?$",
        description="a URL such as redis://127.0.0.1:6379/0",
    ),
]


DatabaseUrl = Annotated[str, Secret(), AfterValidator(check_database_url)]
"""The URL of a Postgres database; errors never repeat its password."""


Loaded = TypeVar("Loaded", bound=Settings)


class InvalidSettings(Exception):
    """A variable is missing or malformed; the message names it and never repeats its value."""


@dataclass(frozen=True, slots=True)
class SettingField:
    """One setting: its variable, its field, and the fields on the way to it from the root."""

    variable: str
    path: tuple[str, ...]
    field: FieldInfo

    @property
    def is_secret(self) -> bool:
        return _is_secret(self.field.annotation) or any(map(_is_secret, self.field.metadata))

    @property
    def file_variable(self) -> str:
        return f"{self.variable}_FILE"

    @property
    def description(self) -> str | None:
        """What the value should look like, to complete the sentence "It should be …"."""
        described = (
            each.description
            for member in get_args(self.field.annotation)
            for each in get_args(member)
            if isinstance(each, FieldInfo)
        )
        return self.field.description or next(filter(None, described), None)


def setting_fields(kind: type[Settings]) -> list[SettingField]:
    """Return the settings of a service in the order of their definition."""
    return list(_fields(kind, kind.model_config.get("env_prefix", ""), ()))


def load(kind: type[Loaded]) -> Loaded:
    """Read the settings from the environment. Raises InvalidSettings."""
    try:
        return kind()
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise InvalidSettings("\n".join(_sentence(kind, one) for one in problems)) from None


class _EnvironmentSource(PydanticBaseSettingsSource):
    def __call__(self) -> dict[str, Any]:
        found = _required_groups(self.settings_cls)
        for setting in setting_fields(self.settings_cls):  # type: ignore[arg-type]
            if value := _value_of(setting):
                *groups, name = setting.path
                group = found
                for each in groups:
                    group = group.setdefault(each, {})
                group[name] = value
        return found

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # Used by sources that read one field at a time.


def _value_of(setting: SettingField) -> str | None:
    variable = setting.variable
    value = os.environ.get(variable)
    if setting.is_secret and (path := os.environ.get(setting.file_variable)):
        if value:
            raise InvalidSettings(
                f"{variable} and {setting.file_variable} are both set. Set one of them."
            )
        try:
            return read_secret_file(Path(path))
        except InvalidFile as invalid:
            raise InvalidSettings(f"{setting.file_variable} is wrong: {invalid}.") from None
    if value and variable.endswith("_PORT") and _SERVICE_LINK.match(value):
        # Kubernetes sets PARLEY_SESSION_PORT=tcp://… in every pod beside a Service of that name.
        _log.info("ignored %s, which Kubernetes has set for a Service", variable)
        return None
    return value


def _is_secret(annotation: Any) -> bool:
    """Whether a type or its metadata, at any depth, marks a secret."""
    return (
        annotation is SecretStr
        or isinstance(annotation, Secret)
        or any(map(_is_secret, get_args(annotation)))
    )


def _required_groups(model: type[BaseModel]) -> dict[str, Any]:
    """Return an empty group for each required one, so that errors name its missing variables."""
    return {
        name: _required_groups(group)
        for name, field in model.model_fields.items()
        if field.is_required() and (group := _group_in(field)) is not None
    }


def _fields(model: type[BaseModel], prefix: str, path: tuple[str, ...]) -> Iterator[SettingField]:
    for name, field in model.model_fields.items():
        group = _group_in(field)
        if group is not None:
            inner = _marker(field, Prefix)
            yield from _fields(
                group, inner.prefix if inner else f"{prefix}{name.upper()}_", (*path, name)
            )
            continue
        variable = _marker(field, Variable)
        yield SettingField(
            variable.name if variable else f"{prefix}{name.upper()}", (*path, name), field
        )


Marker = TypeVar("Marker", Variable, Prefix)


def _marker(field: FieldInfo, kind: type[Marker]) -> Marker | None:
    return next((each for each in field.metadata if isinstance(each, kind)), None)


def _group_in(field: FieldInfo) -> type[SettingsGroup] | None:
    annotation = field.annotation
    members = (
        get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    )
    return next((m for m in members if isinstance(m, type) and issubclass(m, SettingsGroup)), None)


def _sentence(kind: type[Settings], problem: Mapping[str, Any]) -> str:
    reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
    setting = _setting_at(kind, problem["loc"])
    if setting is None:  # A model validator names the variables itself.
        return f"{reason}."
    variable, description = setting.variable, setting.description
    form = f" It should be {description}." if description else ""
    if problem["type"] == "missing":
        return f"{variable} is not set.{form}"
    if problem["type"] == "value_error":
        return f"{reason}." if reason.startswith(variable) else f"{variable} is wrong: {reason}."
    # pydantic's own wording is the last resort: some of its messages quote the input.
    return f"{variable} is wrong.{form}" if form else f"{variable} is wrong: {reason}."


def _setting_at(kind: type[Settings], location: tuple[Any, ...]) -> SettingField | None:
    return next(
        (each for each in setting_fields(kind) if location[: len(each.path)] == each.path), None
    )
