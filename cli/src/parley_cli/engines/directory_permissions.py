"""Lets the unprivileged user that PostgreSQL runs as reach its files, when this process is root."""

import logging
import os
import pwd
import stat
from pathlib import Path

from parley_cli.engines.errors import EngineError

_log = logging.getLogger(__name__)


def unprivileged_user() -> pwd.struct_passwd | None:
    """Whom to run as when this process is root, as which postgres refuses to run."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EngineError("PostgreSQL cannot run as root, and there is no user `postgres` or `nobody`.")


def grant_traversal(folder: Path, user: pwd.struct_passwd) -> None:
    """Let the user pass through those of the folder's parents that block it, and tell of each."""
    # PostgreSQL names its files by absolute paths, and root's folders (its home, pytest's) are
    # often closed to others. The root of the file system is never ours to change.
    for parent in folder.parents[:-1]:
        status = parent.stat()
        wanted = status.st_mode | _bit_to_pass(status, user)
        if wanted != status.st_mode:
            parent.chmod(wanted)
            _log.warning(
                "PostgreSQL runs as the user %s, which may now pass through %s (not list it): "
                "its mode is %o instead of %o.",
                user.pw_name,
                parent,
                stat.S_IMODE(wanted),
                stat.S_IMODE(status.st_mode),
            )


def _bit_to_pass(status: os.stat_result, user: pwd.struct_passwd) -> int:
    if status.st_uid == user.pw_uid:
        return stat.S_IXUSR
    return stat.S_IXGRP if status.st_gid == user.pw_gid else stat.S_IXOTH
