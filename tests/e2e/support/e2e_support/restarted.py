"""A stack that was stopped and started again, and a session of before the restart."""

from dataclasses import dataclass
from typing import Any

import httpx2

from e2e_support.stack import Stack
from e2e_support.user import User


@dataclass(frozen=True)
class Restarted:
    stack: Stack
    ada: User
    session: str
    turns: list[dict[str, Any]]
    """The turns of the session before the restart."""
    first_list: httpx2.Response
    """Her sessions, as listed right after the first start of the stack and of the session."""
