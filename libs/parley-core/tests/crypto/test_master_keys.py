"""The setting with the master keys, and how a wrapped key names its master key."""

import base64
import json
from typing import Any

import pytest

from parley_core.crypto.master_keys import (
    AwsKmsKey,
    InvalidMasterKey,
    LocalKey,
    MasterKeys,
    VaultKey,
    master_key_id_of,
    wrapped_prefix,
)
from parley_core.crypto.sealing import DataKey, UnsealError

OLD, NEW = b"o" * 32, b"n" * 32
VAULT = {"address": "https://vault:8200", "key": "parley", "token_file": "/run/token"}


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def setting(**keys: bytes) -> str:
    return ",".join(f"{name}:{encoded(key)}" for name, key in keys.items())


def test_the_first_master_key_is_active() -> None:
    keys = MasterKeys.parse(setting(new=NEW, old=OLD))
    assert (keys.active, sorted(keys.ids)) == ("new", ["new", "old"])
    assert keys.definitions["old"] == LocalKey(OLD)


def test_a_list_in_yaml_has_master_keys_of_every_kind() -> None:
    keys = MasterKeys.parse(
        f"""
        - id: v1
          vault: {{address: "https://vault:8200", key: parley, token_file: /run/token}}
        - id: a1
          aws_kms: {{key: alias/parley, region: eu-central-1}}
        - id: k1
          local: {encoded(OLD)}
        """
    )
    assert keys.active == "v1"
    assert keys.definitions == {
        "v1": VaultKey("https://vault:8200", "parley", "/run/token"),
        "a1": AwsKmsKey("alias/parley", "eu-central-1"),
        "k1": LocalKey(OLD),
    }


def test_json_is_a_list_too() -> None:
    keys = MasterKeys.parse(json.dumps([{"id": "v1", "vault": VAULT | {"mount": "team/transit"}}]))
    [vault] = keys.definitions.values()
    assert isinstance(vault, VaultKey)
    assert vault.mount == "team/transit"


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"id": "v 1", "vault": VAULT}, "`$[1].id` (line 3)"),
        ({"id": "v1", "vault": VAULT | {"address": "vault:8200"}}, "`$[1].vault.address` (line 3)"),
        ({"id": "v1", "vault": VAULT | {"tokn": "x"}}, "`tokn` - at `$[1].vault` (line 3)"),
        ({"id": "v1", "vault": {"address": "https://vault"}}, "`key` - at `$[1].vault` (line 3)"),
        ({"id": "v1", "vault": VAULT | {"key": "../sys"}}, "`$[1].vault.key` (line 3)"),
        ({"id": "v1", "vault": VAULT | {"mount": "/x"}}, "`$[1].vault.mount` (line 3)"),
        ({"id": "a1", "aws_kms": {"key": "k", "region": "a/b"}}, "`$[1].aws_kms.region` (line 3)"),
        ({"id": "v1"}, "expected one of `local`, `vault` and `aws_kms` - at `$[1]` (line 3)"),
        ({"id": "v1", "local": encoded(NEW), "vault": VAULT}, "at `$[1]` (line 3)"),
        ({"id": "k2", "local": encoded(b"short")}, "`local` is not the base64 of 32 bytes"),
        ({"id": "k1", "local": encoded(NEW)}, "entry 2 repeats an id"),
    ],
)
def test_the_error_of_a_list_names_line_and_field_and_no_key(
    entry: dict[str, Any], place: str
) -> None:
    text = f"# Keys\n- {{id: k1, local: {encoded(OLD)}}}\n- {json.dumps(entry)}\n"
    with pytest.raises(InvalidMasterKey) as error:
        MasterKeys.parse(text)
    assert place in str(error.value)
    for key in (OLD, NEW):
        assert encoded(key) not in str(error.value)


@pytest.mark.parametrize("text", ["[]", "- x: [", "# nothing"])
def test_a_list_without_master_keys_is_refused(text: str) -> None:
    with pytest.raises(InvalidMasterKey):
        MasterKeys.parse(text)


def test_a_wrapped_key_begins_with_the_prefix_of_its_master_key_alone() -> None:
    for key_id in ("a", "ab", "b" * 64):
        wrapped = wrapped_prefix(key_id) + b"ciphertext"
        begins = [
            each for each in ("a", "ab", "b" * 64) if wrapped.startswith(wrapped_prefix(each))
        ]
        assert begins == [key_id] == [master_key_id_of(wrapped)]


@pytest.mark.parametrize("wrapped", [b"", b"\1", b"\2\1a", b"\1\2a", b"\1\1 "])
def test_what_names_no_master_key_is_no_wrapped_key(wrapped: bytes) -> None:
    with pytest.raises(UnsealError):
        master_key_id_of(wrapped)


@pytest.mark.parametrize(
    "value",
    [
        "",
        encoded(OLD),
        "a:" + encoded(b"short"),
        "a:not base64!",
        "a:ключ",
        setting(a=OLD) + ",",
        setting(a=OLD) + "," + setting(a=NEW),
        ":" + encoded(OLD),
    ],
)
def test_the_error_of_a_malformed_setting_shows_the_form_and_repeats_no_key(value: str) -> None:
    with pytest.raises(InvalidMasterKey, match="PARLEY_MASTER_KEY should look like") as error:
        MasterKeys.parse(value)

    assert not value or value not in str(error.value)
    assert encoded(OLD) not in str(error.value)


def test_repr_hides_keys() -> None:
    shown = repr(DataKey(b"k" * 32)) + repr(MasterKeys.parse(setting(a=OLD)))

    assert "kkk" not in shown
    assert "ooo" not in shown
    with pytest.raises(ValueError, match="32 bytes") as error:
        DataKey(b"short-secret")
    assert "short-secret" not in str(error.value)
