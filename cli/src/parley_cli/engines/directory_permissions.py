"""Grants the unprivileged user of PostgreSQL access to its folders when this process is root."""

import logging
import os
import pwd
import stat
from pathlib import Path

from parley_cli.engines.errors import EngineError

_log = logging.getLogger(__name__)


def unprivileged_user() -> pwd.struct_passwd | None:
    """The user for postgres, which refuses to run as root; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EngineError(
        "PostgreSQL refuses to run as root, and neither a user `postgres` nor `nobody` exists."
    )


def grant_traversal(folder: Path, user: pwd.struct_passwd) -> None:
    """Let the user traverse every parent of the folder; log a warning for each change."""
    # PostgreSQL opens its files by absolute paths, and folders of root (its home, pytest's) are
    # often closed to others. The root of the file system is never changed.
    for parent in folder.parents[:-1]:
        status = parent.stat()
        mode = status.st_mode | _traversal_bit(status, user)
        if mode != status.st_mode:
            parent.chmod(mode)
            _log.warning(
                "granted user %s, as which PostgreSQL runs, traversal (not listing) of %s: "
                "mode %o, was %o",
                user.pw_name,
                parent,
                stat.S_IMODE(mode),
                stat.S_IMODE(status.st_mode),
            )


def _traversal_bit(status: os.stat_result, user: pwd.struct_passwd) -> int:
    if status.st_uid == user.pw_uid:
        return stat.S_IXUSR
    return stat.S_IXGRP if status.st_gid == user.pw_gid else stat.S_IXOTH
