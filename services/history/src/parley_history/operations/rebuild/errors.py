"""Errors that end a rebuild without a new version."""


class RebuildAborted(Exception):
    """The message tells the operator the cause and the remedy."""


class VersionsDiffer(RebuildAborted):
    """The versions hold different rows; the live one stays active."""
