"""Every kind of master key behaves alike: local, in Vault, in AWS KMS."""

import json
from uuid import UUID, uuid4

import pytest
from session_support.key_services import KeyService

from parley_core.crypto.master_keys import (
    KeyDestroyed,
    KeyUnavailable,
    MasterKeys,
    UnknownMasterKey,
    WrongMasterKey,
    master_key_id_of,
    wrapped_prefix,
)
from parley_core.crypto.sealing import DataKey, UnsealError
from parley_session.key_management.keyring import Keyring, opened_keyring

SESSION, OTHER = UUID(int=1), UUID(int=2)
# A key of 32 times the letter k, wrapped before there were other kinds of master keys.
STORED = (
    "01026d311df9ab843c8bae3362c661e2e984bdf5fe8ad71903bb838b53a2bea6"
    "dfceb01ee5a6a0aa915a332c19df874fae097f131e349c3916d19cbcb1ace867"
)


async def test_a_wrapped_key_unwraps_for_its_id_only(any_kind: KeyService) -> None:
    key = DataKey.generate()
    async with opened_keyring(any_kind.master_keys()) as keyring:
        wrapped = await keyring.wrap(key, SESSION)
        assert await keyring.unwrap(wrapped, SESSION) == key
        assert key.secret not in wrapped
        with pytest.raises(WrongMasterKey):
            await keyring.unwrap(wrapped, OTHER)


async def test_many_keys_keep_their_order(any_kind: KeyService) -> None:
    keys = [(DataKey.generate(), uuid4()) for _ in range(150)]
    async with opened_keyring(any_kind.master_keys()) as keyring:
        wrapped = await keyring.wrap_all(keys)
    async with opened_keyring(any_kind.master_keys()) as another_process:
        asked = [(each, wrapped_for) for each, (_, wrapped_for) in zip(wrapped, keys, strict=True)]
        assert await another_process.unwrap_all(asked) == [key for key, _ in keys]


async def test_a_damaged_key_does_not_hide_the_others(any_kind: KeyService) -> None:
    keys = [(DataKey.generate(), uuid4()) for _ in range(3)]
    async with opened_keyring(any_kind.master_keys()) as keyring:
        first, second, third = await keyring.wrap_all(keys)
        asked = [(first, keys[0][1]), (second[:-3], keys[1][1]), (third, keys[2][1])]
        found = await keyring.try_unwrap_all(asked)
    assert [found[0], found[2]] == [keys[0][0], keys[2][0]]
    assert isinstance(found[1], WrongMasterKey)


async def test_a_changed_key_never_unwraps_to_another_one(any_kind: KeyService) -> None:
    key = DataKey.generate()
    async with opened_keyring(any_kind.master_keys()) as keyring:
        wrapped = await keyring.wrap(key, SESSION)
        for index in (0, 1, 2, len(wrapped) // 2):
            altered = bytearray(wrapped)
            altered[index] ^= 3
            for damaged in (bytes(altered), wrapped[:index]):
                with pytest.raises((UnsealError, UnknownMasterKey)):
                    await keyring.unwrap(damaged, SESSION)


async def test_another_master_key_of_the_same_id_does_not_unwrap(any_kind: KeyService) -> None:
    async with opened_keyring(any_kind.master_keys()) as keyring:
        wrapped = await keyring.wrap(DataKey.generate(), SESSION)
    async with opened_keyring(any_kind.master_keys(other=True)) as other:
        with pytest.raises(WrongMasterKey):
            await other.unwrap(wrapped, SESSION)


async def test_kinds_of_master_keys_can_be_mixed_and_the_first_wraps(
    local: KeyService, any_kind: KeyService
) -> None:
    key = DataKey.generate()
    before = [local.entry("k1"), any_kind.entry("m2", other=True)]
    async with opened_keyring(MasterKeys.parse(json.dumps(before))) as keyring:
        wrapped = await keyring.wrap(key, SESSION)
        keyring.replace(MasterKeys.parse(json.dumps(before[::-1])))
        again = await keyring.wrap(await keyring.unwrap(wrapped, SESSION), SESSION)
        assert (master_key_id_of(wrapped), master_key_id_of(again)) == ("k1", "m2")
        assert await keyring.unwrap(again, SESSION) == key
        # Removed ones still unwrap.
        keyring.replace(MasterKeys.parse(json.dumps(before[1:])))
        assert (keyring.active, sorted(keyring.ids)) == ("m2", ["k1", "m2"])
        assert await keyring.unwrap(wrapped, SESSION) == key


async def test_a_missing_master_key_is_named(local: KeyService) -> None:
    keyring = Keyring(local.master_keys())
    with pytest.raises(UnknownMasterKey) as error:
        await keyring.unwrap(wrapped_prefix("gone") + b"x", SESSION)
    assert error.value.key_id == "gone"
    assert isinstance(error.value, KeyUnavailable)


async def test_no_wrapped_key_means_a_destroyed_key(local: KeyService) -> None:
    with pytest.raises(KeyDestroyed):
        await Keyring(local.master_keys()).unwrap(None, SESSION)


async def test_the_form_of_locally_wrapped_keys_does_not_change(local: KeyService) -> None:
    stored = bytes.fromhex(STORED)
    assert (await Keyring(local.master_keys()).unwrap(stored, SESSION)).secret == b"k" * 32
