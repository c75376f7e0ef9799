"""Reads the limit rules from the YAML file at PARLEY_LIMITS_FILE."""

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
from pydantic import Field

from parley_core.limits.limit_fields import LimitFields
from parley_core.limits.rules import LIMIT_NAMES, REQUEST_LIMITS, Counted, LimitRule, LimitRules
from parley_core.runtime.settings import InvalidSettings, Variable
from parley_core.runtime.text_files import InvalidFile, read_bytes
from parley_core.runtime.yaml_file import parse_yaml

MAX_RULES = 1_000

LimitsFileSetting = Annotated[
    Path | None,
    Variable("PARLEY_LIMITS_FILE"),
    Field(description="the path of a YAML file with limits per person, API key and model"),
]

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


def read_limit_rules(path: Path | None) -> LimitRules:
    """Without a file nothing is limited. Raises InvalidSettings."""
    if path is None:
        return LimitRules()
    try:
        content = read_bytes(path)
        rules = [entry.to_rule() for entry in parse_yaml(content, _File).limits]
    except InvalidFile as invalid:
        raise InvalidSettings(f"PARLEY_LIMITS_FILE is wrong: {invalid}.") from None
    return LimitRules(rules, f"sha256:{hashlib.sha256(content).hexdigest()}")


class _Entry(LimitFields, kw_only=True):
    tenant: _Name | None = None
    user: _Name | None = None
    api_key: _Name | None = None
    scope: _Name | None = None
    model: _Name | None = None
    per: Counted = "person"

    def __post_init__(self) -> None:
        limits = self.values()
        if not limits:
            raise ValueError(f"the rule sets none of {', '.join(LIMIT_NAMES)}")
        if self.model is not None and (of_requests := limits.keys() & REQUEST_LIMITS):
            raise ValueError(f"{min(of_requests)} cannot depend on a model")
        if self.per == "tenant" and (self.user or self.api_key or self.scope):
            raise ValueError("the limit of a tenant cannot depend on a user, API key or scope")

    def to_rule(self) -> LimitRule:
        return LimitRule(
            self.values(),
            tenant=self.tenant,
            user=self.user,
            api_key=self.api_key,
            scope=self.scope,
            model=self.model,
            per=self.per,
        )


class _File(msgspec.Struct, forbid_unknown_fields=True):
    limits: Annotated[list[_Entry], msgspec.Meta(max_length=MAX_RULES)]

    def __post_init__(self) -> None:
        seen = set()
        for number, entry in enumerate(self.limits):
            criteria = entry.per, entry.to_rule().criteria
            if criteria in seen:
                raise ValueError(
                    f"an earlier rule applies to the same requests - at `$.limits[{number}]`"
                )
            seen.add(criteria)
