"""A turn whose traffic on the loopback interface is searched for what nobody else should read."""

import base64
import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from e2e_support.loopback_capture import LoopbackCapture, captured_loopback
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from parley_core.crypto.master_keys import MasterKeys
from parley_session.key_management.keyring import Keyring

SERVICE_TOKEN = "token of a service"
SECRETS = frozenset(
    ("token", "message", "reply", "title", "key of the session", "password of Kafka", SERVICE_TOKEN)
)
_JSON_WEB_TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{40,}")


async def secrets_in_traffic(stack: Stack, model_server: ModelServer) -> set[str]:
    """Which of SECRETS the traffic of a turn shows, besides that with the model server.

    Skips the test of a user who may not capture packets.
    """
    token, message = stack.token(f"ada-{uuid4()}"), uuid4().hex
    try:
        async with captured_loopback() as capture:
            session = await _turn(stack, token, message)
    except PermissionError:
        pytest.skip("only a user who may capture packets, such as root, can run this test")
    secrets = {
        "token": token.encode(),
        "message": message.encode(),
        "reply": f"Answer to: {message}".encode(),
        "title": f"title of {message}".encode(),
        "key of the session": base64.b64encode(await _key_of(stack, session)),
        "password of Kafka": stack.secret("kafka-password").encode(),
    }
    assert {*secrets, SERVICE_TOKEN} == SECRETS
    # The model server has no TLS: the prompt on the way to it shows that a text would be found.
    model_port = urlsplit(model_server.url).port
    assert _is_in(_sent(capture, lambda ports: model_port in ports), secrets["message"])
    others = _sent(capture, lambda ports: model_port not in ports)
    shown = {each for each in secrets if _is_in(others, secrets[each])}
    # Other stacks on this machine send theirs, too.
    own = _sent(capture, lambda ports: bool(stack.ports & {*ports}))
    if {each for sent in own for each in _JSON_WEB_TOKEN.findall(sent)} - {secrets["token"]}:
        shown.add(SERVICE_TOKEN)
    return shown


async def _turn(stack: Stack, token: str, message: str) -> str:
    """The id of the session, of which people and operators have read what it says."""
    ada = stack.user_with_token(token)
    session = await ada.start_session(title=f"title of {message}")
    async with ada.stream(session, message) as stream:
        events = await stream.events()
    assert len(await ada.messages(session, events[-1]["version"])) == 2
    # Connects to Kafka with its password, and asks session for the key.
    tail = await stack.stdout_of("log", "tail", "--content", "--json", "--session", session)
    assert message in tail
    return session


async def _key_of(stack: Stack, session_id: str) -> bytes:
    """The data key of a session, as only the master key unwraps it."""
    password = (stack.data / "postgres.password").read_text()
    address = stack.address("postgres")
    connection = await asyncpg.connect(f"postgresql://postgres:{password}@{address}/parley_session")
    find = "SELECT wrapped_key FROM sessions WHERE id = $1"
    wrapped = await connection.fetchval(find, UUID(session_id))
    await connection.close()
    keyring = Keyring(MasterKeys.parse(stack.secret("master-key")))
    return (await keyring.unwrap(wrapped, UUID(session_id))).secret


def _sent(
    capture: LoopbackCapture, selects: Callable[[tuple[int, int]], bool]
) -> Sequence[bytearray]:
    return [sent for ports, sent in capture.sent.items() if selects(ports)]


def _is_in(sent: Sequence[bytearray], secret: bytes) -> bool:
    return any(secret in data for data in sent)
