"""The event store's migrations, as numbered SQL files."""

from importlib.resources import files

MIGRATIONS = files(__name__)
