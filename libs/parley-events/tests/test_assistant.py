import json
from uuid import UUID

import pytest

from parley_events.assistant import ASSISTANT_DATA_BY_TYPE, assistant_stream
from parley_events.cloudevents import encode_data
from parley_events.golden import golden


@pytest.mark.parametrize("event_type", ASSISTANT_DATA_BY_TYPE)
def test_golden_record_of_every_published_type_decodes_and_encodes_to_itself(
    event_type: str,
) -> None:
    stored = golden(event_type)
    data = ASSISTANT_DATA_BY_TYPE[event_type].model_validate_json(json.dumps(stored["value"]))
    assert json.loads(encode_data(data)) == stored["value"]
    assert UUID(stored["key"]) == assistant_stream(data.tenant, data.assistant_id)


def test_shared_and_tenant_owned_assistants_have_different_streams() -> None:
    streams = {
        assistant_stream(None, "cook"),
        assistant_stream("acme", "cook"),
        assistant_stream("acme", "poet"),
        assistant_stream("other", "cook"),
    }
    assert len(streams) == 4
