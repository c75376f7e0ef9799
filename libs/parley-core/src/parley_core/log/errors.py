"""Errors of the log."""


class LogError(Exception):
    """A log operation failed; the message is one sentence for an operator."""


class LogUnreachable(LogError):
    """No broker responds; retrying may succeed."""


class TopicMissing(LogError):
    """Kafka has no such topic; `create-topic` may be about to create it."""


class TopicMismatch(LogError):
    """A topic exists with settings that would break Parley's guarantees."""


class PositionOutOfRange(LogError):
    """The position does not exist in the log: the topic was truncated, or deleted and recreated."""

    def __init__(self, topic: str, partition: int, position: int) -> None:
        super().__init__(
            f"Partition {partition} of {topic} has no position {position}: "
            "it was truncated, or the topic was recreated."
        )
        self.partition = partition
        self.position = position


def reason(error: BaseException) -> str:
    """Return the error's message, or its class when that is empty, for the end of a sentence."""
    return (str(error) or type(error).__name__).rstrip(".")
