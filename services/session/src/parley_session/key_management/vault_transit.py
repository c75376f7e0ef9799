"""Adapter: a key of the transit secrets engine of HashiCorp Vault, or of OpenBao.

API: https://developer.hashicorp.com/vault/api-docs/secret/transit (encrypt and decrypt data, with
`batch_input`) and https://openbao.org/api-docs/secret/transit/. A wrapped key is the text
`vault:v<version of the key>:<base64>`.
"""

import base64
import binascii
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from parley_core.crypto.master_keys import VaultKey
from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.text_files import InvalidFile, read_secret_file
from parley_session.key_management.key_service_client import (
    KeyServiceClient,
    KeyServiceError,
    ServiceAnswer,
)
from parley_session.key_management.key_service_monitor import KeyServiceMonitor
from parley_session.key_management.key_wrapper import KeyItem

# The service's own reason is for the log: bounded, as another server may answer there.
_MAX_LOGGED = 200


class _Result(msgspec.Struct):
    ciphertext: str | None = None
    plaintext: str | None = None
    error: str | None = None


class _Results(msgspec.Struct):
    batch_results: list[_Result] | None = None


class _Body(msgspec.Struct):
    data: _Results | None = None
    errors: list[str] | None = None


class VaultTransit:
    """Several keys share a call. Raises InvalidSettings for a CA file that cannot be read."""

    def __init__(self, key_id: str, key: VaultKey, monitor: KeyServiceMonitor) -> None:
        self._key = key
        self._client = KeyServiceClient(key_id, "vault", monitor, tls=_tls(key_id, key.ca_file))

    async def wrap(self, items: Sequence[KeyItem]) -> Sequence[bytes]:
        inputs = [
            {"plaintext": _encoded(item.value), "associated_data": _bound_to(item)}
            for item in items
        ]

        async def encrypt() -> list[bytes | None]:
            results = await self._post("encrypt", inputs)
            return [_ciphertext(result) for result in results]

        return [each for each in await self._client.call("wrap", encrypt) if each is not None]

    async def unwrap(self, items: Sequence[KeyItem]) -> Sequence[bytes | None]:
        inputs = [
            {
                "ciphertext": item.value.decode("ascii", errors="replace"),
                "associated_data": _bound_to(item),
            }
            for item in items
        ]

        async def decrypt() -> list[bytes | None]:
            return [_plaintext(result) for result in await self._post("decrypt", inputs)]

        return await self._client.call("unwrap", decrypt)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _post(self, action: str, inputs: Sequence[Mapping[str, str]]) -> list[_Result]:
        """Raises KeyServiceError."""
        key = self._key
        url = f"{key.address.rstrip('/')}/v1/{key.mount}/{action}/{quote(key.key, safe='')}"
        body = msgspec.json.encode({"batch_input": inputs})
        answer = await self._client.post(url, body, self._headers())
        return _results(answer, len(inputs))

    def _headers(self) -> Mapping[str, str]:
        try:
            # For every call: an agent that renews the token replaces the file.
            token = read_secret_file(Path(self._key.token_file)).strip()
        except InvalidFile as invalid:
            raise KeyServiceError(f"its token_file is unusable: {invalid}") from None
        headers = {"x-vault-token": token, "x-vault-request": "true"}
        if self._key.namespace:
            headers["x-vault-namespace"] = self._key.namespace
        return headers


def _results(answer: ServiceAnswer, count: int) -> list[_Result]:
    """The results of a batch, also of one with errors, which is answered with 400."""
    try:
        body = msgspec.json.decode(answer.body, type=_Body)
    except msgspec.DecodeError:
        raise KeyServiceError(f"HTTP {answer.status}") from None
    results = body.data.batch_results if body.data else None
    if answer.status not in (200, 400) or results is None or len(results) != count:
        reasons = "; ".join(body.errors or ())[:_MAX_LOGGED]
        raise KeyServiceError(f"HTTP {answer.status} {reasons}".strip())
    return results


def _ciphertext(result: _Result) -> bytes:
    if not result.ciphertext:
        raise KeyServiceError((result.error or "no ciphertext")[:_MAX_LOGGED])
    return result.ciphertext.encode()


def _plaintext(result: _Result) -> bytes | None:
    try:
        return base64.b64decode(result.plaintext, validate=True) if result.plaintext else None
    except binascii.Error:
        return None


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bound_to(item: KeyItem) -> str:
    return _encoded(item.wrapped_for.bytes)


def _tls(key_id: str, ca_file: str | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise InvalidSettings(
            f"The ca_file of master key {key_id} cannot be used: {reason}."
        ) from None
