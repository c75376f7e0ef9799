"""Decrypts the sealed fields of events with data keys from the session service."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from parley_cli.errors import CommandError
from parley_cli.log.tail.formatting import UnsealedFields
from parley_cli.log.tail.log_record import LogRecord
from parley_cli.service_commands.locations import SessionAccess
from parley_contracts.session_api.keys import (
    InvalidKeysResponse,
    decode_data_keys_response,
    encode_data_keys_request,
)
from parley_contracts.session_api.limits import MAX_DATA_KEYS_PER_REQUEST
from parley_core.crypto.sealing import DataKey, UnsealError, unseal
from parley_core.http.errors import ParleyError
from parley_core.http.service_client import ServiceClient, http_session
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.session import Event

# Bounds how long an erased session stays readable.
KEY_TTL_SECONDS = 60.0
MAX_CACHED_KEYS = 10_000

ERASED = "erased"
NO_KEY = "no key: unknown to the session service"
DAMAGED = "cannot be decrypted"


class KeysUnavailable(CommandError):
    """The session service returned no keys; the message is a sentence for the user."""


@asynccontextmanager
async def open_unsealer(session: SessionAccess) -> "AsyncIterator[Unsealer]":
    async with http_session() as http:
        yield Unsealer(
            ServiceClient(http, session.url, callee="session", key=session.key, tls=session.tls)
        )


class Unsealer:
    """Fetches data keys on demand and caches them for at most KEY_TTL_SECONDS."""

    def __init__(self, session: ServiceClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._clock = session, clock
        self._keys: dict[UUID, DataKey | None] = {}
        self._expires_at = 0.0

    async def unseal_all(self, batch: Sequence[LogRecord]) -> list[UnsealedFields]:
        """The UnsealedFields of each record. Raises KeysUnavailable."""
        events = [_event(record) for record in batch]
        sealed = [_sealed_fields(event) if event else {} for event in events]
        await self._load_keys(
            {e.session_id for e, fields in zip(events, sealed, strict=True) if e and fields}
        )
        return [
            {name: self._unseal(event, name, value) for name, value in fields.items()}
            if event
            else {}
            for event, fields in zip(events, sealed, strict=True)
        ]

    async def _load_keys(self, sessions: set[UUID]) -> None:
        if self._clock() >= self._expires_at or len(self._keys) > MAX_CACHED_KEYS:
            self._keys, self._expires_at = {}, self._clock() + KEY_TTL_SECONDS
        missing = sorted(sessions - self._keys.keys())
        for start in range(0, len(missing), MAX_DATA_KEYS_PER_REQUEST):
            self._keys |= await self._fetch_keys(missing[start : start + MAX_DATA_KEYS_PER_REQUEST])

    async def _fetch_keys(self, sessions: Sequence[UUID]) -> Mapping[UUID, DataKey | None]:
        try:
            response = await self._session.call(
                "POST",
                "/keys",
                principal=self._session.service_principal,
                request_id=f"log-{uuid4()}",
                body=encode_data_keys_request(sessions),
            )
            return decode_data_keys_response(response.body)
        except (ParleyError, InvalidKeysResponse) as error:
            raise KeysUnavailable(
                f"The session service returned no keys to decrypt the content: {error} "
                "Check that its PARLEY_SERVICE_KEYS has the key of the command line."
            ) from None

    def _unseal(self, event: Event, name: str, value: bytes) -> Mapping[str, Any] | str:
        if event.session_id not in self._keys:
            return NO_KEY
        if (key := self._keys[event.session_id]) is None:
            return ERASED
        try:
            return unseal(key, value, session_id=event.session_id, event_id=event.id, field=name)
        except UnsealError:
            return DAMAGED


def _event(record: LogRecord) -> Event | None:
    try:
        return decode(record.raw)
    except UndecodableRecord:
        return None


def _sealed_fields(event: Event) -> dict[str, bytes]:
    """The fields that hold ciphertext: those of type bytes."""
    return {name: value for name, value in event.data if isinstance(value, bytes)}
