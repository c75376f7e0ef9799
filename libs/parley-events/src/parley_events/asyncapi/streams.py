"""Topics of the log, each with its event types."""

from collections.abc import Mapping
from dataclasses import dataclass

from parley_events.api_key import API_KEY_DATA_BY_TYPE
from parley_events.assistant import ASSISTANT_DATA_BY_TYPE
from parley_events.audit import AUDIT_DATA_BY_TYPE
from parley_events.session import DATA_BY_TYPE
from parley_events.topics import (
    API_KEYS_TOPIC,
    ASSISTANTS_TOPIC,
    AUDIT_TOPIC,
    SESSIONS_TOPIC,
)
from parley_events.values import Value

DataByType = Mapping[str, type[Value]]


@dataclass(frozen=True)
class Stream:
    """A topic; `channel` and `operation` are its names in the AsyncAPI document."""

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
        "The events of a session are in one partition, ordered by sequence.",
        "publishSessionEvents",
        "The session service publishes the events of conversations.",
        DATA_BY_TYPE,
    ),
    Stream(
        "assistants",
        ASSISTANTS_TOPIC,
        "Events of assistants",
        "Definitions of assistants, unsealed. Each assistant, of a tenant or shared by all, is a "
        "stream like a session.",
        "publishAssistantEvents",
        "The session service publishes the changes that administrators make to assistants.",
        ASSISTANT_DATA_BY_TYPE,
    ),
    Stream(
        "api_keys",
        API_KEYS_TOPIC,
        "Events of API keys",
        "Credentials of people's programs, unsealed: neither secrets nor names. Each key is a "
        "stream like a session, and so is each revocation of tokens.",
        "publishApiKeyEvents",
        "The session service publishes which API keys people create and revoke, and which tokens "
        "administrators revoke.",
        API_KEY_DATA_BY_TYPE,
    ),
    Stream(
        "audit",
        AUDIT_TOPIC,
        "Audit trail",
        "Who did what, and who was refused it: ids and no content, unsealed. One stream, which is "
        "a hash chain.",
        "publishAuditRecords",
        "The session service publishes the records of the audit trail.",
        AUDIT_DATA_BY_TYPE,
    ),
)

ALL_DATA_BY_TYPE: DataByType = {
    event_type: data for stream in STREAMS for event_type, data in stream.data_by_type.items()
}
