"""Executes a program that receives a signal when its parent ends, even by SIGKILL (Linux).

Run as a script: `exec_with_parent_death_signal.py PARENT SIGNAL USER:GROUP COMMAND…`. The first
three are numbers; an empty USER:GROUP keeps the current user. The script imports nothing of Parley,
so that it starts in a few milliseconds.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def main(parent: str, signal: str, owner: str, *command: str) -> None:
    if owner:
        user, group = (int(number) for number in owner.split(":"))
        # Changing only the user ID would keep the groups of root.
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    if sys.platform == "linux":
        # Set after the change of user, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal))
    if os.getppid() != int(parent):
        sys.exit("The parent process ended before this program started.")
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is involved
    except OSError as error:
        sys.exit(f"FATAL: {command[0]} cannot be executed: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
