"""The policies of retention, read from a YAML file when the process starts."""

from pathlib import Path
from typing import Annotated

import msgspec

from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.yaml_file import InvalidFile, read_yaml
from parley_session.domain.retention_policy import Never, Policies, Policy

_LONGEST_DAYS = 36_500

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_IdleDays = Annotated[float, msgspec.Meta(gt=0, le=_LONGEST_DAYS)]
_UndeleteDays = Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_DAYS)]


def read_policies(path: Path | None) -> Policies:
    """The file that PARLEY_POLICIES names; none keeps all for ever. Raises InvalidSettings."""
    if path is None:
        return Policies()
    try:
        entries = read_yaml(path, _File).policies
    except InvalidFile as wrong:
        raise _wrong(str(wrong)) from None
    if any(entry.idle_days is None and entry.undelete_days is None for entry in entries):
        raise _wrong("one of its policies says nothing")
    if len({(entry.tenant, entry.assistant_id) for entry in entries}) < len(entries):
        raise _wrong("two of its policies are for the same sessions")
    return Policies([Policy(**msgspec.structs.asdict(entry)) for entry in entries])


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    tenant: _Name | None = None
    assistant_id: _Name | None = None
    idle_days: _IdleDays | Never | None = None
    undelete_days: _UndeleteDays | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    policies: list[_Entry]


def _wrong(why: str) -> InvalidSettings:
    return InvalidSettings(
        f"PARLEY_POLICIES is wrong: {why}. It should be the path of a YAML file with `policies`, "
        "each with idle_days (a number or never) or undelete_days, and tenant or assistant_id "
        "where it is not for all."
    )
