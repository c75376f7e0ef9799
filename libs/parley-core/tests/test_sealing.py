"""What is sealed opens only with its key, in its place, unaltered; and nothing shows a secret."""

import base64
from uuid import UUID

import pytest

from parley_core.crypto.master_keys import (
    InvalidMasterKey,
    KeyDestroyed,
    MasterKeys,
    UnknownMasterKey,
    master_key_id_of,
)
from parley_core.crypto.sealing import (
    DataKey,
    UnsealError,
    fingerprint,
    open_copy,
    seal,
    seal_copy,
    unseal,
)

SESSION, OTHER = UUID(int=1), UUID(int=2)
PLACE = {"session_id": SESSION, "event_id": UUID(int=3), "field": "content"}
KEY = DataKey(b"k" * 32)
OLD, NEW = b"o" * 32, b"n" * 32


def setting(**keys: bytes) -> str:
    return ",".join(f"{name}:{base64.b64encode(key).decode()}" for name, key in keys.items())


def test_what_was_sealed_is_read_back():
    plaintext = {"text": "naïve 🙂", "parts": [1, None]}

    assert unseal(KEY, seal(KEY, plaintext, **PLACE), **PLACE) == plaintext


def test_sealed_value_is_a_format_byte_a_nonce_and_the_ciphertext_with_its_tag():
    sealed = seal(KEY, {}, **PLACE)

    assert sealed[0] == 1
    assert len(sealed) == 1 + 12 + len("{}") + 16


def test_the_same_plaintext_never_seals_to_the_same_bytes():
    assert seal(KEY, {"text": "a"}, **PLACE) != seal(KEY, {"text": "a"}, **PLACE)


def test_a_change_of_any_byte_is_noticed():
    sealed = seal(KEY, {"text": "a"}, **PLACE)

    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(UnsealError):
            unseal(KEY, bytes(altered), **PLACE)


def test_a_value_that_was_cut_short_is_refused_at_every_length():
    sealed = seal(KEY, {"text": "a"}, **PLACE)

    for length in range(len(sealed)):
        with pytest.raises(UnsealError):
            unseal(KEY, sealed[:length], **PLACE)


@pytest.mark.parametrize(
    "elsewhere", [{"session_id": OTHER}, {"event_id": OTHER}, {"field": "title"}]
)
def test_a_value_moved_to_another_place_does_not_open(elsewhere):
    with pytest.raises(UnsealError):
        unseal(KEY, seal(KEY, {"text": "a"}, **PLACE), **PLACE | elsewhere)


def test_another_key_does_not_open_it_and_the_error_names_the_place_only():
    with pytest.raises(UnsealError, match=f"content of event {PLACE['event_id']}"):
        unseal(DataKey(b"x" * 32), seal(KEY, {"text": "a"}, **PLACE), **PLACE)


def test_sealed_bytes_that_are_no_json_object_are_broken_and_the_error_holds_no_plaintext():
    nonce = bytes(12)
    associated = b"\x01" + SESSION.bytes + PLACE["event_id"].bytes + b"content"
    for plaintext in (b"my secret", b'["my secret"]', b"\xff"):
        sealed = b"\x01" + nonce + KEY.cipher.encrypt(nonce, plaintext, associated)
        with pytest.raises(UnsealError) as refusal:
            unseal(KEY, sealed, **PLACE)
        assert "secret" not in str(refusal.value)
        assert refusal.value.__context__ is None


def test_surrogate_halves_join_and_one_alone_becomes_the_replacement_character():
    sealed = seal(KEY, {"text": "\ud83d\ude42 \ud83d"}, **PLACE)

    assert unseal(KEY, sealed, **PLACE) == {"text": "🙂 \ufffd"}


def test_equal_bodies_have_equal_fingerprints_only_under_one_key():
    assert fingerprint(KEY, b"body") == fingerprint(DataKey(b"k" * 32), b"body")
    assert fingerprint(KEY, b"body") != fingerprint(KEY, b"other")
    assert fingerprint(KEY, b"body") != fingerprint(DataKey.generate(), b"body")
    assert len(fingerprint(KEY, b"body")) == 32


def test_the_fingerprint_key_is_not_the_data_key():
    assert KEY.fingerprint_key != KEY.secret


def test_a_wrapped_key_is_read_back_for_its_session_only():
    keys = MasterKeys.parse(setting(a=OLD))
    wrapped = keys.wrap(KEY, SESSION)

    assert keys.unwrap(wrapped, SESSION) == KEY
    with pytest.raises(UnsealError):
        keys.unwrap(wrapped, OTHER)


def test_after_rotation_old_keys_unwrap_and_new_ones_are_master_key_id_of_the_active_one():
    before = MasterKeys.parse(setting(old=OLD))
    rotated = MasterKeys.parse(setting(new=NEW, old=OLD))
    wrapped = before.wrap(KEY, SESSION)

    again = rotated.wrap(rotated.unwrap(wrapped, SESSION), SESSION)

    assert (master_key_id_of(wrapped), master_key_id_of(again)) == ("old", "new")
    assert MasterKeys.parse(setting(new=NEW)).unwrap(again, SESSION) == KEY


def test_a_retired_master_key_is_named():
    wrapped = MasterKeys.parse(setting(old=OLD)).wrap(KEY, SESSION)

    with pytest.raises(UnknownMasterKey, match="'old'"):
        MasterKeys.parse(setting(new=NEW)).unwrap(wrapped, SESSION)


def test_a_master_key_with_the_same_id_and_other_bytes_does_not_unwrap():
    wrapped = MasterKeys.parse(setting(a=OLD)).wrap(KEY, SESSION)

    with pytest.raises(UnsealError):
        MasterKeys.parse(setting(a=NEW)).unwrap(wrapped, SESSION)


def test_any_change_or_cut_of_a_wrapped_key_is_noticed():
    keys = MasterKeys.parse(setting(a=OLD, b=NEW))
    wrapped = keys.wrap(KEY, SESSION)

    for place in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[place] ^= 3
        for damaged in (bytes(altered), wrapped[:place]):
            with pytest.raises((UnsealError, UnknownMasterKey)):
                keys.unwrap(damaged, SESSION)


def test_no_wrapped_key_is_a_destroyed_key():
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
def test_a_malformed_setting_says_what_it_should_look_like_and_repeats_nothing(value):
    with pytest.raises(InvalidMasterKey, match="PARLEY_MASTER_KEY should look like") as refusal:
        MasterKeys.parse(value)

    assert not value or value not in str(refusal.value)
    assert base64.b64encode(OLD).decode() not in str(refusal.value)


def test_keys_do_not_show_in_a_repr():
    shown = repr(KEY) + repr(MasterKeys.parse(setting(a=OLD)))

    assert "kkk" not in shown
    assert "ooo" not in shown
    with pytest.raises(ValueError, match="32 bytes") as refusal:
        DataKey(b"short-secret")
    assert "short-secret" not in str(refusal.value)


def test_a_copy_opens_under_its_own_name_and_key_alone():
    sealed = seal_copy(KEY, b"[1, 2]", name="page:1")

    assert open_copy(KEY, sealed, name="page:1") == b"[1, 2]"
    assert b"[1, 2]" not in sealed
    for key, name in ((KEY, "page:2"), (DataKey.generate(), "page:1")):
        with pytest.raises(UnsealError):
            open_copy(key, sealed, name=name)
    with pytest.raises(UnsealError):
        unseal(KEY, sealed, **PLACE)
