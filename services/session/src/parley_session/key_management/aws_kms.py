"""Adapter: a symmetric key of AWS KMS.

API: https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html and API_Decrypt.html. A
wrapped key is a ciphertext blob of KMS. KMS has no batches: the keys of a batch are separate calls,
of which some run at a time. awscrt signs them (Signature Version 4) with the credentials that the
tools of AWS would find: environment, profile, web identity, container, instance.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import msgspec

from parley_core.crypto.master_keys import AwsKmsKey
from parley_core.runtime.backoff import backoff_delay
from parley_core.runtime.settings import InvalidSettings
from parley_session.key_management.key_service_client import KeyServiceClient, KeyServiceError
from parley_session.key_management.key_service_monitor import KeyServiceMonitor, Operation
from parley_session.key_management.key_wrapper import KeyItem

_MAX_CONCURRENT_CALLS = 16
# The blob is damaged, of another key, or was wrapped for another id; the name may have a prefix.
_CANNOT_UNWRAP = ("InvalidCiphertextException", "IncorrectKeyException")
# The quotas of an account are per second:
# https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html
_THROTTLED = "ThrottlingException"
_MAX_ATTEMPTS = 3
# The first wait and the longest one; together they are shorter than the time of a call.
_RETRY_SECONDS = (0.2, 0.5)
_ERROR_NAME = re.compile(r"(?:.*#)?([A-Za-z]{1,80})")


class _Throttled(KeyServiceError):
    """KMS may answer the same request a moment later."""


class AwsKms:
    """Raises InvalidSettings without the package awscrt."""

    def __init__(self, key_id: str, key: AwsKmsKey, monitor: KeyServiceMonitor) -> None:
        if find_spec("awscrt") is None:
            raise InvalidSettings(
                f"Master key {key_id} is in AWS KMS, which needs the package awscrt: install "
                "parley-session[aws]."
            )
        self._key = key
        self._url = key.endpoint or f"https://kms.{key.region}.amazonaws.com"
        self._host, self._path = urlsplit(self._url).netloc, urlsplit(self._url).path or "/"
        self._client = KeyServiceClient(key_id, "aws_kms", monitor)
        self._concurrent = asyncio.Semaphore(_MAX_CONCURRENT_CALLS)
        self._signing: Any = None

    async def wrap(self, items: Sequence[KeyItem]) -> Sequence[bytes]:
        wrapped = await self._each("wrap", "Encrypt", "Plaintext", "CiphertextBlob", items)
        return [each for each in wrapped if each is not None]

    async def unwrap(self, items: Sequence[KeyItem]) -> Sequence[bytes | None]:
        return await self._each("unwrap", "Decrypt", "CiphertextBlob", "Plaintext", items)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _each(
        self, operation: Operation, action: str, given: str, wanted: str, items: Sequence[KeyItem]
    ) -> list[bytes | None]:
        async def one(item: KeyItem) -> bytes | None:
            body = {
                "KeyId": self._key.key,
                given: base64.b64encode(item.value).decode(),
                "EncryptionContext": {"parley:wrapped_for": str(item.wrapped_for)},
            }

            async def ask() -> list[bytes | None]:
                return [await self._post_with_retries(action, msgspec.json.encode(body), wanted)]

            async with self._concurrent:
                [answer] = await self._client.call(operation, ask)
                return answer

        # All are awaited, so that none runs on when one fails.
        answers = await asyncio.gather(*map(one, items), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def _post_with_retries(self, action: str, body: bytes, wanted: str) -> bytes | None:
        """`_post`, again for this key alone if KMS throttles it. Raises KeyServiceError."""
        for attempt in range(1, _MAX_ATTEMPTS):
            try:
                return await self._post(action, body, wanted)
            except _Throttled:
                # Apart from the others of the batch, which were throttled at the same time.
                await asyncio.sleep(backoff_delay(attempt, *_RETRY_SECONDS))
        return await self._post(action, body, wanted)

    async def _post(self, action: str, body: bytes, wanted: str) -> bytes | None:
        """Raises KeyServiceError."""
        headers = await self._signed(action, body)
        answer = await self._client.post(self._url, body, headers)
        try:
            decoded = msgspec.json.decode(answer.body, type=dict[str, Any])
            if answer.status == 200:
                return base64.b64decode(decoded[wanted], validate=True)
        except (msgspec.DecodeError, LookupError, TypeError, binascii.Error):
            raise KeyServiceError(f"HTTP {answer.status}") from None
        name = _ERROR_NAME.fullmatch(str(decoded.get("__type")))
        if name and name[1] in _CANNOT_UNWRAP and action == "Decrypt":
            return None
        kind = _Throttled if name and name[1] == _THROTTLED else KeyServiceError
        raise kind(f"HTTP {answer.status} {name[1] if name else ''}".strip())

    async def _signed(self, action: str, body: bytes) -> Mapping[str, str]:
        # Imported here: most installations do not use it.
        from awscrt import auth, http
        from awscrt.exceptions import AwsCrtError

        if self._signing is None:
            self._signing = auth.AwsCredentialsProvider.new_default_chain()
        headers = http.HttpHeaders(
            [
                ("host", self._host),
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amz-target", f"TrentService.{action}"),
            ]
        )
        request = http.HttpRequest("POST", self._path, headers, BytesIO(body))
        config = auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=self._signing,
            region=self._key.region,
            service="kms",
        )
        try:
            await asyncio.wrap_future(auth.aws_sign_request(request, config))
        except AwsCrtError as error:
            raise KeyServiceError(f"the request cannot be signed: {error.name}") from None
        return dict(request.headers)
