"""The topics of the log, each with the events that it has."""

from collections.abc import Mapping
from dataclasses import dataclass

from parley_events.assistant import ASSISTANT_DATA_BY_TYPE
from parley_events.session import DATA_BY_TYPE
from parley_events.topics import ASSISTANTS_TOPIC, SESSIONS_TOPIC
from parley_events.values import Value

DataByType = Mapping[str, type[Value]]


@dataclass(frozen=True)
class Stream:
    """One topic; `channel` and `operation` are its names in the AsyncAPI document."""

    channel: str
    topic: str
    title: str
    description: str
    operation: str
    summary: str
    data_by_type: DataByType


STREAMS = (
    Stream(
        "sessions",
        SESSIONS_TOPIC,
        "Events of sessions",
        "One session is in one partition, in the order of its sequence.",
        "publishSessionEvents",
        "The session service publishes what happened in conversations.",
        DATA_BY_TYPE,
    ),
    Stream(
        "assistants",
        ASSISTANTS_TOPIC,
        "Events of assistants",
        "Which assistants there are and what each is told; nothing in it is sealed. One assistant "
        "of a tenant, or of all, is a stream like a session.",
        "publishAssistantEvents",
        "The session service publishes what administrators did with assistants.",
        ASSISTANT_DATA_BY_TYPE,
    ),
)

ALL_DATA_BY_TYPE: DataByType = {
    event_type: data for stream in STREAMS for event_type, data in stream.data_by_type.items()
}
