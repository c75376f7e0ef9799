"""The topics as an AsyncAPI 3.0 document: their records, with headers, keys and values.

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
    "What happened, kept for ever, one record for each event: CloudEvents 1.0 in Kafka's binary "
    "mode. docs/events.md says how to read it: order, repeats, sealed content, and "
    "later versions."
)


def asyncapi_yaml() -> str:
    """The whole document; the same events give the same text."""
    text: str = yaml.safe_dump(asyncapi_document(), sort_keys=False, allow_unicode=True, width=100)
    return text


def asyncapi_document() -> Json:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Parley's log",
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
    # Its numbers of partitions and replicas are each installation's own choice.
    kept = TopicSpec(stream.topic, 48, 3, 2).settings
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
                    "cleanup.policy": [kept["cleanup.policy"]],
                    "retention.ms": int(kept["retention.ms"]),
                    "retention.bytes": int(kept["retention.bytes"]),
                    "max.message.bytes": int(kept["max.message.bytes"]),
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
                    "description": "The id of a session, or of an assistant's stream: ce_subject.",
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }
