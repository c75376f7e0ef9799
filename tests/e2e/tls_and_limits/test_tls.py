"""`parley up --tls`: HTTPS for people, certificates between services, TLS to Kafka."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from operator import ne
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from e2e_support.captured_turn import secrets_in_traffic
from e2e_support.chat_load import start_chat_load
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_cli.engines.health_probes import kafka_answers
from parley_cli.stack.certificates import StackCertificates
from parley_cli.tls.local_authority import LocalAuthority
from parley_core.log import Brokers
from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("gateway", "session", "inference", "history-serve")
# Fewer users than the stack runs turns.
RENEWALS, USERS = 5, 3
READS_AT_ONCE = 8


async def test_people_chat_over_https_and_all_printed_links_use_it(stack: Stack) -> None:
    ada = stack.user(f"ada-{uuid4()}")
    session = await ada.start_session()
    turn = await ada.send(session, "Hello")
    assert turn["reply"]["content"]
    async with ada.stream(session, "Hello again") as stream:
        await stream.started()

    printed = stack.console.read_text()
    assert f"http://127.0.0.1:{stack.port}" not in printed
    assert f"curl --cacert {stack.authority_file} -N https://" in printed
    assert await first_line(stack.url, None) == b""

    # The command line trusts the authority of its stack, and session asks it for a certificate.
    chat = await stack.run_command("chat", "--user", "ada")
    assert chat.exit_code == 0, chat
    tail = await stack.run_command("log", "tail", "--content", "--json")
    assert "Hello again" in tail.stdout, tail
    assert (await stack.status())["kafka"]["ready"]


@pytest.mark.parametrize("service", ["session", "inference", "history-serve"])
async def test_a_service_refuses_a_stranger_although_it_knows_the_address(
    stack: Stack, service: str, tmp_path: Path
) -> None:
    address = stack.address(service)
    certificates = stack.data / "tls"
    own = certificates / "gateway.pem", certificates / "gateway.key"
    assert (await first_line(address, client(stack, own))).startswith(b"HTTP/1.1 404")
    assert await first_line(address, client(stack, None)) == b""
    issued = LocalAuthority.create("Parley on this machine").issue("gateway")
    forged = tmp_path / "gateway.pem", tmp_path / "gateway.key"
    forged[0].write_text(issued.certificate)
    forged[1].write_text(issued.key)
    assert await first_line(address, client(stack, forged)) == b""
    assert await first_line(address, None) == b""


async def test_kafka_accepts_only_tls(stack: Stack) -> None:
    assert not await kafka_answers(Brokers(stack.address("kafka")))


async def test_the_traffic_of_a_turn_shows_no_secret(
    stack: Stack, model_server: ModelServer
) -> None:
    assert await secrets_in_traffic(stack, model_server) == set()


async def test_certificates_of_all_services_are_renewed_five_times_and_no_request_fails(
    stack: Stack,
) -> None:
    certificates = StackCertificates(stack.data)
    load = await start_chat_load(stack, USERS)
    async with load.running(pause_seconds=0.3), reads_on_new_connections(stack) as reads:
        for _ in range(RENEWALS):
            before, read = await serial_numbers(stack), len(reads)
            certificates.issue(SERVICES, "127.0.0.1")
            await eventually(partial(all_renewed, stack, before), within=60)
            await load.wait_for_turns(2 * USERS)
            await eventually(lambda: len(reads) > read + READS_AT_ONCE)  # noqa: B023 - ends here
    assert load.retries == 0
    load.assert_all_completed()
    assert set(reads) == {200}


def client(stack: Stack, certificate: tuple[Path, Path] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(stack.authority_file))
    if certificate:
        context.load_cert_chain(*certificate)
    return context


async def first_line(address: str, context: ssl.SSLContext | None) -> bytes:
    """That of the response to a request on a new connection; empty if there is none."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.write(b"GET /nothing HTTP/1.1\r\nhost: parley\r\n\r\n")
            line = await reader.readline()
            writer.close()
    except (ssl.SSLError, ConnectionError):
        return b""
    return line


async def serial_numbers(stack: Stack) -> list[str]:
    """Of each service, that of the certificate which a new connection gets."""
    certificates = stack.data / "tls"
    own = client(stack, (certificates / "cli.pem", certificates / "cli.key"))
    numbers = []
    for service in SERVICES:
        host, _, port = stack.address(service).rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=own)
        certificate: Any = writer.get_extra_info("peercert")
        numbers.append(str(certificate["serialNumber"]))
        writer.close()
    return numbers


async def all_renewed(stack: Stack, before: Sequence[str]) -> bool:
    await asyncio.sleep(0.2)
    return all(map(ne, await serial_numbers(stack), before))


@asynccontextmanager
async def reads_on_new_connections(stack: Stack) -> AsyncIterator[list[int]]:
    """Read on new connections within the block; the list grows by the status of each read.

    Many at once, so that the gateway needs new connections, too.
    """
    token = stack.token(f"eve-{uuid4()}")
    session = await stack.user_with_token(token).start_session()
    statuses: list[int] = []

    async def read() -> None:
        async with httpx2.AsyncClient(verify=stack.trust, timeout=60) as http:
            user = User(http, token, stack.url)
            statuses.append((await user.request("GET", f"/sessions/{session}")).status_code)

    async def keep_reading() -> None:
        while True:
            await asyncio.gather(*(read() for _ in range(READS_AT_ONCE)))
            await asyncio.sleep(2)

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(keep_reading())
        yield statuses
        reading.cancel()
