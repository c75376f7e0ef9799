"""Requests that carry an Idempotency-Key: which request it is, and whether it is the same again."""

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID, uuid5

import msgspec

from parley_contracts.session_api.limits import MAX_IDEMPOTENCY_KEY_LENGTH
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, fingerprint
from parley_core.http.errors import IdempotencyKeyReused, InvalidRequest
from parley_session.storage.append_statement import IdempotencyRecord

_DERIVED_IDS = UUID("6f9d1a3e-52c7-4b0c-9a50-0f3b7b0c3c11")
# The same body, however its JSON was written.
_canonical = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """One request of one person; `digest` names it, `body` is kept as a keyed fingerprint only."""

    digest: bytes
    body: bytes

    def remembered(self, key: DataKey, session_id: UUID, turn_id: UUID | None) -> IdempotencyRecord:
        return IdempotencyRecord(self.digest, fingerprint(key, self.body), session_id, turn_id)

    def check_same(self, remembered: IdempotencyRecord, key: DataKey) -> None:
        """Raises IdempotencyKeyReused."""
        if not hmac.compare_digest(remembered.fingerprint, fingerprint(key, self.body)):
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used before, with another body: use a new one."
            )

    @property
    def derived_id(self) -> UUID:
        """The id of a session that is started without one: the same at each try."""
        return uuid5(_DERIVED_IDS, self.digest.hex())


def idempotent_request(
    person: Principal, method: str, path: str, key: str | None, body: object
) -> IdempotentRequest | None:
    """None for a request without a key. Raises InvalidRequest."""
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters.",
            param="Idempotency-Key",
        )
    # As JSON, so that no part can be read as the next one's beginning.
    named = _canonical([person.tenant, person.user, method, path, key])
    return IdempotentRequest(hashlib.sha256(named).digest(), _canonical(body))
