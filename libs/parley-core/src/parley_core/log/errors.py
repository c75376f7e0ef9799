"""What can go wrong with the log."""


class LogError(Exception):
    """The log did not do what was asked; the message is one sentence for whoever operates it."""


class LogUnreachable(LogError):
    """No broker answers; it may be back in a moment."""


class TopicMismatch(LogError):
    """A topic exists with other settings than Parley's guarantees need."""


class PositionOutOfRange(LogError):
    """The log does not hold the position: the topic was truncated, or deleted and made again."""

    def __init__(self, topic: str, partition: int, position: int) -> None:
        super().__init__(
            f"Partition {partition} of {topic} does not hold position {position}: "
            "it was truncated, or the topic was made again."
        )
        self.partition = partition
        self.position = position


def reason(error: BaseException) -> str:
    """Why it failed, for the end of a sentence; some errors have an empty text."""
    return (str(error) or type(error).__name__).rstrip(".")
