"""`parley up --tls`: HTTPS for people, certificates between services, TLS to Kafka."""

import asyncio
import ssl
from pathlib import Path
from uuid import uuid4

import pytest
from e2e_support.stack import Stack

from parley_cli.engines.health_probes import kafka_answers
from parley_cli.tls.local_authority import LocalAuthority
from parley_core.log import Brokers

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
