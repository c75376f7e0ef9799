"""Types of the fixtures that are functions."""

from collections.abc import Awaitable, Callable

from history_testing.history import HistoryClient
from history_testing.stories import Story

StartHistory = Callable[..., Awaitable[HistoryClient]]
"""Takes the keyword arguments of `serve_history`."""

ProjectStory = Callable[[Story], Awaitable[Story]]
