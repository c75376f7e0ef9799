"""Opens what is sealed in events, with keys that session gives."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from parley_cli.log.tail.log_record import LogRecord
from parley_contracts.session_api.keys import (
    InvalidKeysResponse,
    decode_data_keys_response,
    encode_data_keys_request,
)
from parley_contracts.session_api.limits import MAX_DATA_KEYS_PER_REQUEST
from parley_core.crypto.sealing import DataKey, UnsealError, unseal
from parley_core.http.errors import ParleyError
from parley_core.http.service_client import ServiceClient
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.session import Event

# An erased session must not be read for longer than this.
KEY_SECONDS = 60.0
KEYS_KEPT = 10_000

ERASED = "erased"
NO_KEY = "no key: session does not know it"
BROKEN = "cannot be opened"


class KeysUnavailable(Exception):
    """Session gave no keys; the message is a sentence for whoever typed."""


class Unsealer:
    """Asks session for the keys of what it opens; keeps them for a minute at most."""

    def __init__(self, session: ServiceClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._clock = session, clock
        self._keys: dict[UUID, DataKey | None] = {}
        self._until = 0.0

    async def opened(self, batch: Sequence[LogRecord]) -> list[Mapping[str, Any]]:
        """Of each record its sealed fields as `shown.Opened` has them. Raises KeysUnavailable."""
        events = [_event(found) for found in batch]
        sealed = [_sealed(event) if event else {} for event in events]
        await self._ask_for(
            {e.session_id for e, fields in zip(events, sealed, strict=True) if e and fields}
        )
        return [
            {name: self._open(event, name, value) for name, value in fields.items()}
            if event
            else {}
            for event, fields in zip(events, sealed, strict=True)
        ]

    async def _ask_for(self, sessions: set[UUID]) -> None:
        if self._clock() >= self._until or len(self._keys) > KEYS_KEPT:
            self._keys, self._until = {}, self._clock() + KEY_SECONDS
        missing = sorted(sessions - self._keys.keys())
        for start in range(0, len(missing), MAX_DATA_KEYS_PER_REQUEST):
            self._keys |= await self._asked(missing[start : start + MAX_DATA_KEYS_PER_REQUEST])

    async def _asked(self, sessions: Sequence[UUID]) -> Mapping[UUID, DataKey | None]:
        try:
            answer = await self._session.call(
                "POST",
                "/keys",
                principal=self._session.service_principal,
                request_id=f"log-{uuid4()}",
                body=encode_data_keys_request(sessions),
            )
            return decode_data_keys_response(answer.body)
        except (ParleyError, InvalidKeysResponse) as refused:
            raise KeysUnavailable(
                f"The session service gives no keys to open the content with: {refused} "
                "Is PARLEY_INTERNAL_SECRET the one that it has?"
            ) from None

    def _open(self, event: Event, name: str, value: bytes) -> Mapping[str, Any] | str:
        if event.session_id not in self._keys:
            return NO_KEY
        if (key := self._keys[event.session_id]) is None:
            return ERASED
        try:
            return unseal(key, value, session_id=event.session_id, event_id=event.id, field=name)
        except UnsealError:
            return BROKEN


def _event(found: LogRecord) -> Event | None:
    try:
        return decode(found.record)
    except UndecodableRecord:
        return None


def _sealed(event: Event) -> dict[str, bytes]:
    """Its fields that hold ciphertext: those of type bytes."""
    return {name: value for name, value in event.data if isinstance(value, bytes)}
