"""How a rebuild ends without a new version."""


class RebuildAborted(Exception):
    """The message is for whoever runs it: what stands in the way, and what to do."""


class VersionsDiffer(RebuildAborted):
    """The versions do not hold the same; nothing was swapped."""
