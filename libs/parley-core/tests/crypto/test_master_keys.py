"""Data keys are wrapped by master keys, per session; rotation keeps older ones readable."""

import base64
from uuid import UUID

import pytest

from parley_core.crypto.master_keys import (
    InvalidMasterKey,
    KeyDestroyed,
    MasterKeys,
    UnknownMasterKey,
    master_key_id_of,
    wrapped_prefix,
)
from parley_core.crypto.sealing import (
    DataKey,
    UnsealError,
)

SESSION, OTHER = UUID(int=1), UUID(int=2)
KEY = DataKey(b"k" * 32)
OLD, NEW = b"o" * 32, b"n" * 32


def setting(**keys: bytes) -> str:
    return ",".join(f"{name}:{base64.b64encode(key).decode()}" for name, key in keys.items())


def test_a_wrapped_key_unwraps_for_its_session_only() -> None:
    keys = MasterKeys.parse(setting(a=OLD))
    wrapped = keys.wrap(KEY, SESSION)

    assert keys.unwrap(wrapped, SESSION) == KEY
    with pytest.raises(UnsealError):
        keys.unwrap(wrapped, OTHER)


def test_after_rotation_old_keys_unwrap_and_the_active_key_wraps() -> None:
    before = MasterKeys.parse(setting(old=OLD))
    rotated = MasterKeys.parse(setting(new=NEW, old=OLD))
    wrapped = before.wrap(KEY, SESSION)

    again = rotated.wrap(rotated.unwrap(wrapped, SESSION), SESSION)

    assert (master_key_id_of(wrapped), master_key_id_of(again)) == ("old", "new")
    assert MasterKeys.parse(setting(new=NEW)).unwrap(again, SESSION) == KEY


def test_the_error_of_a_retired_master_key_names_its_id() -> None:
    wrapped = MasterKeys.parse(setting(old=OLD)).wrap(KEY, SESSION)

    with pytest.raises(UnknownMasterKey, match="'old'"):
        MasterKeys.parse(setting(new=NEW)).unwrap(wrapped, SESSION)


def test_replaced_keys_are_used_at_once_and_removed_ones_still_unwrap() -> None:
    keys = MasterKeys.parse(setting(old=OLD))
    wrapped = keys.wrap(KEY, SESSION)
    keys.replace(MasterKeys.parse(setting(new=NEW)))
    assert (keys.active, sorted(keys.ids)) == ("new", ["new", "old"])
    assert master_key_id_of(keys.wrap(KEY, SESSION)) == "new"
    assert keys.unwrap(wrapped, SESSION) == KEY


def test_a_wrapped_key_begins_with_the_prefix_of_its_master_key_alone() -> None:
    for key_id in ("a", "ab", "b" * 64):
        wrapped = MasterKeys.parse(setting(**{key_id: OLD})).wrap(KEY, SESSION)
        begins = [
            each for each in ("a", "ab", "b" * 64) if wrapped.startswith(wrapped_prefix(each))
        ]
        assert begins == [key_id]


def test_a_master_key_with_the_same_id_and_other_bytes_does_not_unwrap() -> None:
    wrapped = MasterKeys.parse(setting(a=OLD)).wrap(KEY, SESSION)

    with pytest.raises(UnsealError):
        MasterKeys.parse(setting(a=NEW)).unwrap(wrapped, SESSION)


def test_any_change_or_truncation_of_a_wrapped_key_is_detected() -> None:
    keys = MasterKeys.parse(setting(a=OLD, b=NEW))
    wrapped = keys.wrap(KEY, SESSION)

    for index in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[index] ^= 3
        for damaged in (bytes(altered), wrapped[:index]):
            with pytest.raises((UnsealError, UnknownMasterKey)):
                keys.unwrap(damaged, SESSION)


def test_a_missing_wrapped_key_means_a_destroyed_key() -> None:
    with pytest.raises(KeyDestroyed):
        MasterKeys.parse(setting(a=OLD)).unwrap(None, SESSION)


@pytest.mark.parametrize(
    "value",
    [
        "",
        base64.b64encode(OLD).decode(),
        "a:" + base64.b64encode(b"short").decode(),
        "a:not base64!",
        "a:ключ",
        setting(a=OLD) + ",",
        setting(a=OLD) + "," + setting(a=NEW),
        ":" + base64.b64encode(OLD).decode(),
    ],
)
def test_the_error_of_a_malformed_setting_shows_the_form_and_repeats_no_key(value: str) -> None:
    with pytest.raises(InvalidMasterKey, match="PARLEY_MASTER_KEY should look like") as error:
        MasterKeys.parse(value)

    assert not value or value not in str(error.value)
    assert base64.b64encode(OLD).decode() not in str(error.value)


def test_repr_hides_keys() -> None:
    shown = repr(KEY) + repr(MasterKeys.parse(setting(a=OLD)))

    assert "kkk" not in shown
    assert "ooo" not in shown
    with pytest.raises(ValueError, match="32 bytes") as error:
        DataKey(b"short-secret")
    assert "short-secret" not in str(error.value)
