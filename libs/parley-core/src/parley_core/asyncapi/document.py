"""The topic as an AsyncAPI 3.0 document: its records, their headers, keys and values.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Mapping

import yaml

from parley_core.asyncapi.schemas import Json, schemas
from parley_core.events import DATA_BY_TYPE, KnownEventData
from parley_core.golden import golden
from parley_core.log import SESSIONS_TOPIC
from parley_core.log.topics import TopicSpec

KAFKA_BINDING = "0.5.0"

DESCRIPTION = (
    "What happened in conversations, kept for ever, one record for each event: CloudEvents 1.0 in "
    "Kafka's binary mode. docs/events.md says how to read it: order, repeats, sealed content, and "
    "later versions."
)


def asyncapi_yaml() -> str:
    """The whole document; the same events give the same text."""
    text: str = yaml.safe_dump(asyncapi_document(), sort_keys=False, allow_unicode=True, width=100)
    return text


def asyncapi_document() -> Json:
    names = {event_type: data.__name__ for event_type, data in DATA_BY_TYPE.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Parley's log",
            "version": "1.0.0",
            "description": DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "channels": {"sessions": _channel(names)},
        "operations": {
            "publishSessionEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/sessions"},
                "summary": "The session service publishes what happened in conversations.",
            }
        },
        "components": {
            "messages": {name: _message(at, DATA_BY_TYPE[at]) for at, name in names.items()},
            "messageTraits": {"CloudEvent": _cloud_event()},
            "schemas": schemas(),
        },
    }


def _channel(names: Mapping[str, str]) -> Json:
    # Its numbers of partitions and replicas are each installation's own choice.
    kept = TopicSpec(SESSIONS_TOPIC, 48, 3, 2).settings
    return {
        "address": SESSIONS_TOPIC,
        "title": "Events of sessions",
        "description": "One session is in one partition, in the order of its sequence.",
        "messages": {n: {"$ref": f"#/components/messages/{n}"} for n in names.values()},
        "bindings": {
            "kafka": {
                "topic": SESSIONS_TOPIC,
                "topicConfiguration": {
                    "cleanup.policy": [kept["cleanup.policy"]],
                    "retention.ms": int(kept["retention.ms"]),
                    "retention.bytes": int(kept["retention.bytes"]),
                    "max.message.bytes": int(kept["max.message.bytes"]),
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _message(event_type: str, data: type[KnownEventData]) -> Json:
    stored = golden(event_type)
    return {
        "name": event_type,
        "title": data.__name__,
        "summary": data.__doc__,
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/CloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{data.__name__}"},
        "examples": [
            {"name": event_type, "headers": stored["headers"], "payload": stored["value"]}
        ],
    }


def _cloud_event() -> Json:
    return {
        "headers": {"$ref": "#/components/schemas/Headers"},
        "bindings": {
            "kafka": {
                "key": {
                    "type": "string",
                    "format": "uuid",
                    "description": "The session's id, as in ce_subject.",
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }
