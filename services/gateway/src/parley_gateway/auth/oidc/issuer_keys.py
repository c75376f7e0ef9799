"""Keys of all token issuers: one client for each, which keeps them current in the background."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import aiohttp

from parley_gateway.auth.oidc.issuers_file import Issuer
from parley_gateway.auth.oidc.jwks_client import JWKSClient, KeySource


class IssuerKeys:
    """Used as a context manager, at whose end the fetches end."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        on_changed: Callable[[], None],
        on_result: Callable[[bool], None],
    ) -> None:
        """`on_changed` is called when an issuer's keys are others than before, `on_result` after
        each fetch, with whether every issuer has answered its last one.
        """
        self._http, self._on_changed, self._on_result = http, on_changed, on_result
        self._sources: Mapping[str, KeySource] = {}
        self._clients: dict[str, JWKSClient] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._attempted: dict[str, asyncio.Event] = {}
        self._usable = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        clients, tasks = [*self._clients.values()], [*self._tasks.values()]
        for name in [*self._clients]:
            self._remove(name)
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            await client.close()

    def use(self, issuers: Sequence[Issuer]) -> None:
        """Fetch the keys of these issuers from now on; known keys of an unchanged source stay."""
        sources = {issuer.name: issuer.keys for issuer in issuers}
        for name in [*self._clients]:
            if sources.get(name) != self._sources[name]:
                self._remove(name)
        for name, source in sources.items():
            if name not in self._clients:
                self._add(name, source)
        self._sources = sources

    def of(self, name: str) -> JWKSClient:
        return self._clients[name]

    async def wait_until_usable(self) -> None:
        """Wait until the keys of each issuer were asked for, and those of one are known.

        One unavailable issuer must not keep the users of the others out.
        """
        for attempted in [*self._attempted.values()]:
            await attempted.wait()
        await self._usable.wait()

    @property
    def ages_seconds(self) -> Mapping[str, float]:
        """The seconds since the keys were fetched, by issuer that has keys."""
        ages = {name: client.age_seconds for name, client in self._clients.items()}
        return {name: age for name, age in ages.items() if age is not None}

    def to_json(self) -> Mapping[str, Mapping[str, object]]:
        """For `/status`."""
        return {
            name: {"keys": client.status, "age_seconds": _rounded(client.age_seconds)}
            for name, client in self._clients.items()
        }

    def _add(self, name: str, source: KeySource) -> None:
        def on_changed() -> None:
            self._usable.set()
            self._on_changed()

        client = JWKSClient(self._http, source, on_changed=on_changed, on_result=self._report)
        attempted = asyncio.Event()
        self._clients[name], self._attempted[name] = client, attempted
        self._tasks[name] = asyncio.create_task(client.run(attempted.set))

    def _remove(self, name: str) -> None:
        del self._clients[name]
        self._attempted.pop(name).set()
        self._tasks.pop(name).cancel()

    def _report(self) -> None:
        self._on_result(not any(client.is_failing for client in self._clients.values()))


def _rounded(age_seconds: float | None) -> int | None:
    return None if age_seconds is None else round(age_seconds)
