"""Idempotency of requests: identifies a request by its Idempotency-Key, and detects reuse."""

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

import msgspec

from parley_contracts.session_api.limits import MAX_IDEMPOTENCY_KEY_LENGTH
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, fingerprint, open_copy, seal_copy
from parley_core.http.errors import IdempotencyKeyReused, InvalidRequest
from parley_session.storage.append.append_statement import IdempotencyRecord

_ANSWER = "answer"
# The version and variant bits of a UUID, and their values in a UUIDv8.
_VERSION_BITS = 0xF << 76 | 0b11 << 62
_VERSION_8 = 8 << 76 | 0b10 << 62
# Two spellings of the same JSON body encode alike.
_canonical = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request of one person; `digest` identifies it, `body` is stored as a keyed fingerprint."""

    digest: bytes
    body: bytes

    def to_record(
        self, key: DataKey, session_id: UUID, turn_id: UUID | None, answer: bytes | None = None
    ) -> IdempotencyRecord:
        sealed = None if answer is None else seal_copy(key, answer, name=_ANSWER)
        digest = fingerprint(key, self.body)
        return IdempotencyRecord(self.digest, digest, session_id, turn_id, sealed)

    def check_same(self, record: IdempotencyRecord, key: DataKey) -> None:
        """Raises IdempotencyKeyReused if the recorded request had another body."""
        if not hmac.compare_digest(record.fingerprint, fingerprint(key, self.body)):
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used with another body. Use a new key."
            )

    def answer_in(self, record: IdempotencyRecord, key: DataKey) -> bytes | None:
        return None if record.answer is None else open_copy(key, record.answer, name=_ANSWER)

    def session_id(self, installation_key: DataKey) -> UUID:
        """The id of a session that is started without one: the same at each retry.

        A UUIDv8 (RFC 9562), keyed so that nobody can guess the id and use it first.
        """
        derived = fingerprint(installation_key, self.digest)
        number = int.from_bytes(derived[:16])
        return UUID(int=number & ~_VERSION_BITS | _VERSION_8)


def idempotent_request(
    principal: Principal, method: str, path: str, key: str | None, body: object
) -> IdempotentRequest | None:
    """None for a request without a key. Raises InvalidRequest."""
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters.",
            param="Idempotency-Key",
        )
    # Encoded as JSON, so that the boundaries between the parts are unambiguous.
    identity = _canonical([principal.tenant, principal.user, method, path, key])
    return IdempotentRequest(hashlib.sha256(identity).digest(), _canonical(body))
