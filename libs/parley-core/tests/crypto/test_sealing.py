"""Sealed values unseal only with their key and for their field; no error shows plaintext."""

from typing import Any
from uuid import UUID

import pytest

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
FIELD: dict[str, Any] = {"session_id": SESSION, "event_id": UUID(int=3), "field": "content"}
KEY = DataKey(b"k" * 32)


def test_unseal_returns_the_sealed_plaintext() -> None:
    plaintext = {"text": "naïve 🙂", "parts": [1, None]}

    assert unseal(KEY, seal(KEY, plaintext, **FIELD), **FIELD) == plaintext


def test_sealed_value_is_a_format_byte_a_nonce_and_the_ciphertext_with_its_tag() -> None:
    sealed = seal(KEY, {}, **FIELD)

    assert sealed[0] == 1
    assert len(sealed) == 1 + 12 + len("{}") + 16


def test_the_same_plaintext_never_seals_to_the_same_bytes() -> None:
    assert seal(KEY, {"text": "a"}, **FIELD) != seal(KEY, {"text": "a"}, **FIELD)


def test_a_change_of_any_byte_is_detected() -> None:
    sealed = seal(KEY, {"text": "a"}, **FIELD)

    for index in range(len(sealed)):
        altered = bytearray(sealed)
        altered[index] ^= 1
        with pytest.raises(UnsealError):
            unseal(KEY, bytes(altered), **FIELD)


def test_a_truncated_value_is_rejected_at_every_length() -> None:
    sealed = seal(KEY, {"text": "a"}, **FIELD)

    for length in range(len(sealed)):
        with pytest.raises(UnsealError):
            unseal(KEY, sealed[:length], **FIELD)


@pytest.mark.parametrize(
    "elsewhere", [{"session_id": OTHER}, {"event_id": OTHER}, {"field": "title"}]
)
def test_a_value_moved_to_another_field_does_not_unseal(elsewhere: dict[str, Any]) -> None:
    with pytest.raises(UnsealError):
        unseal(KEY, seal(KEY, {"text": "a"}, **FIELD), **FIELD | elsewhere)


def test_another_key_does_not_unseal_and_the_error_contains_no_plaintext() -> None:
    with pytest.raises(UnsealError, match=f"content of event {FIELD['event_id']}"):
        unseal(DataKey(b"x" * 32), seal(KEY, {"text": "a"}, **FIELD), **FIELD)


def test_sealed_bytes_that_are_no_json_object_raise_an_error_without_plaintext() -> None:
    nonce = bytes(12)
    associated = b"\x01" + SESSION.bytes + UUID(str(FIELD["event_id"])).bytes + b"content"
    for plaintext in (b"my secret", b'["my secret"]', b"\xff"):
        sealed = b"\x01" + nonce + KEY.cipher.encrypt(nonce, plaintext, associated)
        with pytest.raises(UnsealError) as error:
            unseal(KEY, sealed, **FIELD)
        assert "secret" not in str(error.value)
        assert error.value.__context__ is None


def test_paired_surrogates_join_and_an_unpaired_one_becomes_the_replacement_character() -> None:
    sealed = seal(KEY, {"text": "\ud83d\ude42 \ud83d"}, **FIELD)

    assert unseal(KEY, sealed, **FIELD) == {"text": "🙂 \ufffd"}


def test_equal_bodies_have_equal_fingerprints_only_under_one_key() -> None:
    assert fingerprint(KEY, b"body") == fingerprint(DataKey(b"k" * 32), b"body")
    assert fingerprint(KEY, b"body") != fingerprint(KEY, b"other")
    assert fingerprint(KEY, b"body") != fingerprint(DataKey.generate(), b"body")
    assert len(fingerprint(KEY, b"body")) == 32


def test_the_fingerprint_key_is_not_the_data_key() -> None:
    assert KEY.fingerprint_key != KEY.secret


def test_a_copy_opens_only_under_its_own_name_and_key() -> None:
    sealed = seal_copy(KEY, b"[1, 2]", name="page:1")

    assert open_copy(KEY, sealed, name="page:1") == b"[1, 2]"
    assert b"[1, 2]" not in sealed
    for key, name in ((KEY, "page:2"), (DataKey.generate(), "page:1")):
        with pytest.raises(UnsealError):
            open_copy(key, sealed, name=name)
    with pytest.raises(UnsealError):
        unseal(KEY, sealed, **FIELD)
