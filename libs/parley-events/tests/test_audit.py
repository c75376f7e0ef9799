import hashlib
import json
from dataclasses import replace

from parley_events.audit import AuditRecorded, record_hash
from parley_events.cloudevents import encode_data
from parley_events.golden import golden, golden_record

TYPE = AuditRecorded.TYPE


def test_golden_record_decodes_and_encodes_to_itself() -> None:
    value = golden(TYPE)["value"]
    assert json.loads(encode_data(AuditRecorded.model_validate_json(json.dumps(value)))) == value


def test_the_hash_of_a_record_is_that_of_its_place_time_type_and_value() -> None:
    record = golden_record(TYPE)
    headers = golden(TYPE)["headers"]
    lines = [headers[name] for name in ("ce_id", "ce_sequence", "ce_time", "ce_type")]
    text = "\n".join([*lines, record.value.decode()])
    assert record_hash(record) == hashlib.sha256(text.encode()).hexdigest()


def test_any_change_of_a_record_changes_its_hash() -> None:
    record = golden_record(TYPE)
    changed = [replace(record, value=record.value.replace(b"ada", b"eve"))]
    for name in ("ce_id", "ce_sequence", "ce_time", "ce_type"):
        headers = [(each, text + b"0" if each == name else text) for each, text in record.headers]
        changed.append(replace(record, headers=headers))
    hashes = {record_hash(each) for each in (record, *changed)}
    assert len(hashes) == 6
