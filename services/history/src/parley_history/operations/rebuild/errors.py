"""How a rebuild ends without a new version."""


class RebuildStopped(Exception):
    """The message is for whoever runs it: what stands in the way, and what to do."""


class Differences(RebuildStopped):
    """The versions do not hold the same; nothing was swapped."""
