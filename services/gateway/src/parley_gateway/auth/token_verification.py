"""Token verification of a process: the verifier that its settings name, and its reloads."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from parley_core.process.process_monitor import ProcessMonitor
from parley_core.runtime.settings import InvalidSettings
from parley_gateway.auth.oidc.issuer_keys import IssuerKeys
from parley_gateway.auth.oidc.issuers_file import Issuer, IssuersFile, read_issuers
from parley_gateway.auth.token_settings import JWTSettings
from parley_gateway.auth.token_verifiers import IssuerVerifier, SharedSecretVerifier, TokenVerifier


class TokenVerification:
    """`verifier` is usable while `running`."""

    verifier: TokenVerifier

    def __init__(self, settings: JWTSettings) -> None:
        """Raises InvalidSettings if the file of issuers is wrong."""
        self._keys: IssuerKeys | None = None
        self._file: IssuersFile | None = None
        if settings.issuers is not None:
            self._file = read_issuers(settings.issuers)
        else:
            self.verifier = SharedSecretVerifier(_secret(settings))

    @asynccontextmanager
    async def running(
        self, http: aiohttp.ClientSession, monitor: ProcessMonitor, on_changed: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Keep the issuers' keys current; `on_changed` is called when they change."""
        if self._file is None:
            yield
            return
        report = monitor.dependencies["token_issuer"].report
        async with IssuerKeys(http, on_changed, report) as keys:
            self._keys, self.verifier = keys, IssuerVerifier(keys, self._file.issuers)
            monitor.details["token_issuers"] = keys.to_json
            yield

    def replace(self, settings: JWTSettings) -> None:
        """Use changed settings from now on. Raises InvalidSettings before it changes anything."""
        if isinstance(self.verifier, SharedSecretVerifier) and settings.secret is not None:
            self.verifier.secret = _secret(settings)
        elif isinstance(self.verifier, IssuerVerifier) and settings.issuers is not None:
            self._file = read_issuers(settings.issuers)
            self.verifier.use(self._file.issuers)
        else:
            raise InvalidSettings(
                "PARLEY_JWT_SECRET and PARLEY_OIDC_ISSUERS cannot replace each other without a "
                "restart."
            )

    async def wait_until_usable(self) -> None:
        if self._keys is not None:
            await self._keys.wait_until_usable()

    @property
    def issuers(self) -> Sequence[Issuer]:
        return self._file.issuers if self._file else ()

    @property
    def more_files(self) -> Sequence[Path]:
        """The files that the file of issuers names."""
        return self._file.more_files if self._file else ()

    @property
    def key_ages_seconds(self) -> Mapping[str, float]:
        """The seconds since each issuer's keys were fetched."""
        return self._keys.ages_seconds if self._keys else {}


def _secret(settings: JWTSettings) -> str:
    # Ensured by the settings.
    assert settings.secret is not None
    return settings.secret.get_secret_value()
