import json

import pytest

from parley_events.api_key import API_KEY_DATA_BY_TYPE
from parley_events.cloudevents import encode_data
from parley_events.golden import golden


@pytest.mark.parametrize("event_type", API_KEY_DATA_BY_TYPE)
def test_golden_record_of_every_published_type_decodes_and_encodes_to_itself(
    event_type: str,
) -> None:
    stored = golden(event_type)
    data = API_KEY_DATA_BY_TYPE[event_type].model_validate_json(json.dumps(stored["value"]))
    assert json.loads(encode_data(data)) == stored["value"]
