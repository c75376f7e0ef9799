"""AsyncAPI 3.0 document of the topics: records with headers, keys and values.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import yaml

from parley_events.asyncapi.schemas import Json, schemas
from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE, STREAMS, Stream
from parley_events.golden import golden
from parley_events.topics import TopicSpec
from parley_events.values import Value

KAFKA_BINDING = "0.5.0"

DESCRIPTION = (
    "The event log of Parley, retained forever: one CloudEvents 1.0 record per event, in Kafka's "
    "binary mode. docs/events.md explains ordering, duplicates, sealed content and versioning."
)


def asyncapi_yaml() -> str:
    """Return the document as YAML; deterministic."""
    text: str = yaml.safe_dump(asyncapi_document(), sort_keys=False, allow_unicode=True, width=100)
    return text


def asyncapi_document() -> Json:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Parley event log",
            "version": "1.0.0",
            "description": DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "channels": {stream.channel: _channel(stream) for stream in STREAMS},
        "operations": {
            stream.operation: {
                "action": "send",
                "channel": {"$ref": f"#/channels/{stream.channel}"},
                "summary": stream.summary,
            }
            for stream in STREAMS
        },
        "components": {
            "messages": {
                data.__name__: _message(event_type, data)
                for event_type, data in ALL_DATA_BY_TYPE.items()
            },
            "messageTraits": {"CloudEvent": _cloud_event()},
            "schemas": schemas(),
        },
    }


def _channel(stream: Stream) -> Json:
    # Only the settings are published; partitions and replicas differ between installations.
    settings = TopicSpec(stream.topic, 48, 3, 2).settings
    names = [data.__name__ for data in stream.data_by_type.values()]
    return {
        "address": stream.topic,
        "title": stream.title,
        "description": stream.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": stream.topic,
                "topicConfiguration": {
                    "cleanup.policy": [settings["cleanup.policy"]],
                    "retention.ms": int(settings["retention.ms"]),
                    "retention.bytes": int(settings["retention.bytes"]),
                    "max.message.bytes": int(settings["max.message.bytes"]),
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _message(event_type: str, data: type[Value]) -> Json:
    stored = golden(event_type)
    return {
        "name": event_type,
        "title": data.__name__,
        "summary": (data.__doc__ or "").partition("\n")[0],
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
                    "description": "ID of the stream, equal to ce_subject.",
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }
