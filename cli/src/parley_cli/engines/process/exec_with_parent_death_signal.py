"""Becomes another program that ends when its parent does, even when that was killed (Linux).

Run as a script: `tied_child.py PARENT SIGNAL USER:GROUP COMMAND…`, all three numbers, the user and
group empty to stay who one is. It imports nothing of Parley: it starts in a few milliseconds.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def main(parent: str, signal: str, owner: str, *command: str) -> None:
    if owner:
        user, group = (int(number) for number in owner.split(":"))
        # A dropped user id alone would keep root's groups.
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    if sys.platform == "linux":
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal))
    if os.getppid() != int(parent):
        sys.exit("The parent ended before this began.")
    try:
        os.execv(command[0], command)  # noqa: S606 - a shell is the last thing wanted
    except OSError as error:
        sys.exit(f"FATAL: {command[0]} cannot be run: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
