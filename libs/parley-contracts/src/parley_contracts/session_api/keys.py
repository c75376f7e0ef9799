"""Bodies of the key routes: data keys of sessions, search keys of people."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from parley_contracts.session_api.limits import (
    MAX_DATA_KEYS_PER_REQUEST,
    MAX_SEARCH_KEYS_PER_REQUEST,
)
from parley_contracts.session_api.requests import Request
from parley_core.crypto.sealing import DataKey


class InvalidKeysResponse(ValueError):
    """The response cannot be decoded; the message quotes nothing of it."""


class DataKeysRequest(Request):
    """`POST /keys`"""

    session_ids: Annotated[list[UUID], Meta(max_length=MAX_DATA_KEYS_PER_REQUEST)]


class DataKeysResponse(Struct):
    """Keys by session id; null for a deleted or erased session, absent for an unknown one."""

    keys: dict[UUID, bytes | None]


class Person(NamedTuple):
    """The owner of sessions: (tenant, user)."""

    tenant: str
    user: str


class PersonBody(Request):
    tenant: str
    user: str


class SearchKeysRequest(Request):
    """`POST /search-keys`"""

    people: Annotated[list[PersonBody], Meta(max_length=MAX_SEARCH_KEYS_PER_REQUEST)]


class SearchKey(Struct):
    """`key` is null for a person without sessions."""

    tenant: str
    user: str
    key: bytes | None


class SearchKeysResponse(Struct):
    keys: list[SearchKey]


def encode_data_keys_request(session_ids: Sequence[UUID]) -> bytes:
    """Takes at most `MAX_DATA_KEYS_PER_REQUEST` ids."""
    return msgspec.json.encode(DataKeysRequest([*session_ids]))


def decode_data_keys_response(body: bytes) -> Mapping[UUID, DataKey | None]:
    """Raises InvalidKeysResponse."""
    try:
        keys = msgspec.json.decode(body, type=DataKeysResponse).keys
        return {session_id: _data_key(secret) for session_id, secret in keys.items()}
    except ValueError:
        raise InvalidKeysResponse("The keys cannot be decoded.") from None


def encode_search_keys_request(people: Sequence[Person]) -> bytes:
    """Takes at most `MAX_SEARCH_KEYS_PER_REQUEST` people."""
    return msgspec.json.encode(SearchKeysRequest([PersonBody(*person) for person in people]))


def decode_search_keys_response(body: bytes) -> Mapping[Person, DataKey | None]:
    """Raises InvalidKeysResponse."""
    try:
        keys = msgspec.json.decode(body, type=SearchKeysResponse).keys
        return {Person(one.tenant, one.user): _data_key(one.key) for one in keys}
    except ValueError:
        raise InvalidKeysResponse("The keys cannot be decoded.") from None


def _data_key(secret: bytes | None) -> DataKey | None:
    return None if secret is None else DataKey(secret)
