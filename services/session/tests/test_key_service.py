"""The session service whose master key is in Vault: outages, and the move of stored keys to it."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from session_support.client import ADA, HISTORY
from session_support.key_services import FakeVault
from session_support.process import variables
from session_support.service import MASTER_KEY, Service

from parley_core.crypto.master_keys import master_key_id_of
from parley_core.storage.postgres_pool import Pool
from parley_session.key_management import key_service_client
from parley_testing.processes import started
from parley_testing.serving import serving

REFUSED = "parley_session_key_unavailable_total"


@dataclass
class Vault:
    fake: FakeVault
    entry: Mapping[str, Any]

    @property
    def setting(self) -> str:
        return json.dumps([self.entry])

    def beside_local(self, *, first: bool) -> str:
        key_id, _, secret = MASTER_KEY.partition(":")
        entries = [self.entry, {"id": key_id, "local": secret}]
        return json.dumps(entries if first else entries[::-1])


@pytest.fixture
async def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vault]:
    # Each request asks again.
    monkeypatch.setattr(key_service_client, "CIRCUIT_OPEN_SECONDS", 0)
    fake = FakeVault()
    (tmp_path / "token").write_text(fake.token)
    async with serving(fake.app) as served:
        key = {"address": served.url, "key": "parley", "token_file": str(tmp_path / "token")}
        yield Vault(fake, {"id": "v1", "vault": key})


async def test_sessions_in_use_outlast_an_outage_and_others_are_503_until_its_end(
    serve: Any, vault: Vault
) -> None:
    earlier: Service = await serve(master_key=vault.setting)
    in_use, idle, erased = [(await earlier.start())["id"] for _ in range(3)]
    session: Service = await serve(master_key=vault.setting)
    assert (await session.call("GET", f"/sessions/{in_use}")).status == 200

    vault.fake.down = True
    assert (await session.call("GET", f"/sessions/{in_use}")).status == 200
    sent = await session.call("POST", f"/sessions/{in_use}/messages", {"content": "Hello?"})
    assert sent.status == 201
    people = {"people": [{"tenant": ADA.tenant, "user": ADA.user}]}
    given: dict[str, Any] = {"who": HISTORY, "issuer": "history"}
    refused = [
        await session.call("GET", f"/sessions/{idle}"),
        await session.call("POST", f"/sessions/{idle}/messages", {"content": "Hello?"}),
        await session.call("POST", "/sessions", {}),
        await session.call("POST", "/sessions", {}, key="installation key"),
        await session.call("POST", "/keys", {"session_ids": [idle]}, **given),
        await session.call("POST", "/search-keys", people, **given),
    ]
    assert {response.error for response in refused} == {(503, "key_unavailable", None)}
    assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
    assert (await session.metrics("v1"))[REFUSED] == len(refused)
    # An erasure needs no key.
    assert (await session.call("DELETE", f"/sessions/{erased}")).status == 200

    vault.fake.down = False
    assert (await session.call("GET", f"/sessions/{idle}")).status == 200
    assert (await session.call("POST", "/sessions", {})).status == 201


async def test_stored_keys_move_from_a_local_master_key_to_vault_while_sessions_are_served(
    serve: Any, vault: Vault, pool: Pool, runtime_database: str
) -> None:
    session: Service = await serve(master_key=vault.beside_local(first=False))
    session_id = (await session.start())["id"]
    moved: Service = await serve(master_key=vault.beside_local(first=True))
    assert (await moved.call("GET", f"/sessions/{session_id}")).status == 200

    vault.fake.down = True
    given = vault.beside_local(first=True)
    assert await rewrap(runtime_database, "v1", given) == 1
    assert await stored_ids(pool) == {"k1"}

    vault.fake.down = False
    assert await rewrap(runtime_database, "v1", given) == 0
    assert await stored_ids(pool) == {"v1"}
    for each in (session, moved, await serve(master_key=vault.setting)):
        assert (await each.call("GET", f"/sessions/{session_id}")).status == 200

    assert await rewrap(runtime_database, "k1", vault.beside_local(first=False)) == 0
    assert await stored_ids(pool) == {"k1"}


async def test_every_key_is_wrapped_with_the_newest_version_of_a_rotated_key(
    serve: Any, vault: Vault, pool: Pool, runtime_database: str
) -> None:
    session: Service = await serve(master_key=vault.setting)
    session_id = (await session.start())["id"]
    vault.fake.version = 2
    assert await rewrap(runtime_database, "v1", vault.setting) == 0
    assert await versions(pool) == {b"vault:v1"}
    assert await rewrap(runtime_database, "v1", vault.setting, "--all") == 0
    assert await versions(pool) == {b"vault:v2"}
    again: Service = await serve(master_key=vault.setting)
    assert (await again.call("GET", f"/sessions/{session_id}")).status == 200


async def test_a_start_does_not_need_the_key_service(serve: Any, vault: Vault) -> None:
    vault.fake.down = True
    session: Service = await serve(master_key=vault.setting)
    assert (await session.call("POST", "/sessions", {})).error == (503, "key_unavailable", None)


async def rewrap(database: str, to: str, master_key: str, *more: str) -> int | None:
    """The exit code of `keys rewrap`, in a process of its own."""
    given = variables(database, master_key=master_key)
    command = await started("parley_session", "keys", "rewrap", "--to", to, *more, **given)
    await command.communicate()
    return command.returncode


async def versions(pool: Pool) -> set[bytes]:
    rows = await pool.fetch("SELECT wrapped_key FROM sessions")
    return {b":".join(row["wrapped_key"][4:].split(b":")[:2]) for row in rows}


async def stored_ids(pool: Pool) -> set[str]:
    rows = await pool.fetch("SELECT wrapped_key FROM sessions")
    return {master_key_id_of(row["wrapped_key"]) for row in rows}
