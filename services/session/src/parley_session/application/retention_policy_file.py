"""Loads the retention policies from a YAML file at startup."""

from pathlib import Path
from typing import Annotated

import msgspec

from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.text_files import InvalidFile
from parley_core.runtime.yaml_file import read_yaml
from parley_session.domain.retention_policy import Never, RetentionPolicies, RetentionPolicy

_MAX_DAYS = 36_500

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_IdleDays = Annotated[float, msgspec.Meta(gt=0, le=_MAX_DAYS)]
_UndeleteDays = Annotated[float, msgspec.Meta(ge=0, le=_MAX_DAYS)]


def read_retention_policies(path: Path | None) -> RetentionPolicies:
    """Without a file, sessions are kept forever. Raises InvalidSettings."""
    if path is None:
        return RetentionPolicies()
    try:
        entries = read_yaml(path, _File).policies
    except InvalidFile as invalid:
        raise _invalid(str(invalid)) from None
    if any(entry.idle_days is None and entry.undelete_days is None for entry in entries):
        raise _invalid("one of its policies sets neither idle_days nor undelete_days")
    if len({(entry.tenant, entry.assistant_id) for entry in entries}) < len(entries):
        raise _invalid("two of its policies apply to the same sessions")
    return RetentionPolicies(
        [RetentionPolicy(**msgspec.structs.asdict(entry)) for entry in entries]
    )


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    tenant: _Name | None = None
    assistant_id: _Name | None = None
    idle_days: _IdleDays | Never | None = None
    undelete_days: _UndeleteDays | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    policies: list[_Entry]


def _invalid(reason: str) -> InvalidSettings:
    return InvalidSettings(
        f"PARLEY_SESSION_RETENTION_POLICY_PATH is wrong: {reason}. It should be the path of a "
        "YAML file with `policies`, each with idle_days (a number or never) or undelete_days, and "
        "with tenant or assistant_id unless it applies to all sessions."
    )
