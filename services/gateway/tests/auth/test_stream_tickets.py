"""Stream tickets: URLs that open one turn for one user for a limited time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.issuer import token

from parley_contracts import turn_sse as sse
from parley_core.auth.principal import Principal
from parley_core.auth.principal_token import InvalidPrincipal, decode_principal_token
from parley_core.auth.service_keys import ServiceKeys
from parley_gateway.auth.invalid_token import InvalidToken
from parley_gateway.auth.stream_tickets import InvalidTicket, StreamTickets
from parley_gateway.auth.token_verifiers import SharedSecretVerifier
from parley_gateway.turns.sse_framing import TurnEventFramer
from parley_testing.event_stream import EventStream, text_of
from parley_testing.peers import service_keys, signing_key
from parley_testing.peers import signed as signed_principal
from parley_testing.session_service import FakeSessionService

ADA = Principal("acme", "ada", frozenset(("admin",)))
KEY = signing_key("gateway")


@asynccontextmanager
async def bare(gateway: Gateway, url: Any, **headers: Any) -> AsyncIterator[Any]:
    """A request without an Authorization header, unless it is given."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with gateway.http.get(gateway.url + url, headers=sent) as answer:
        yield answer


async def opened(gateway: Gateway) -> Any:
    """The `turn.started` of a turn of Ada's, whose first client has left."""
    bearer = token(sub="ada", tenant="acme", scope="admin")
    async with gateway.stream(bearer=bearer) as stream:
        return await stream.event()


def signed(turn_id: Any, *, seconds: Any = 900, key: Any = KEY, person: Any = ADA) -> Any:
    tickets = StreamTickets(key, service_keys(), seconds)
    return tickets.stream_url(UUID(turn_id), person).partition("ticket=")[2]


def ticket_in(url: Any) -> Any:
    return url.partition("ticket=")[2]


async def test_a_stream_url_opens_the_stream_of_its_turn(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), Stalls())
    started = await opened(gateway)
    inference.script(deltas("lo", after=3), lambda: sse.ended(session.end("Hello")))
    url = started["stream_url"]
    assert url.startswith(f"/v1/turns/{started['turn_id']}/stream?ticket=")
    async with bare(gateway, url, last_event_id="3") as answer:
        assert answer.status == 200
        *texts, end = await EventStream(answer, answer.content.readany).events()
    assert (text_of(texts), end["id"]) == ("lo", "end")
    async with bare(gateway, url, last_event_id="end") as answer:
        assert answer.status == 204


async def test_a_ticket_acts_for_its_user_without_scopes(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    url = (await opened(gateway))["stream_url"]
    inference.script(lambda: sse.ended(session.end("")))
    async with bare(gateway, url, last_event_id="0") as answer:
        await answer.read()
    assert session.calls[-1].principal == inference.calls[-1].principal == Principal("acme", "ada")


async def test_a_ticket_does_not_renew_itself(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    url = (await opened(gateway))["stream_url"]
    session.end("Hello")
    async with bare(gateway, url) as answer:
        started = await EventStream(answer, answer.content.readany).event()
    assert started is not None
    assert (started["type"], started["stream_url"]) == ("turn.started", url)


async def test_a_ticket_takes_precedence_over_headers(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    started = await opened(gateway)
    session.end("Hello")
    proxys = {"authorization": "Basic cHJveHk6cHJveHk="}
    async with bare(gateway, started["stream_url"], **proxys) as answer:
        assert answer.status == 200
    path = f"/v1/turns/{started['turn_id']}/stream?ticket=x"
    refused = await gateway.expect_error("GET", path, bearer=token(sub="ada", tenant="acme"))
    assert refused[:2] == (401, "invalid_ticket")


async def test_an_invalid_ticket_is_rejected(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    turn_id = (await opened(gateway))["turn_id"]
    whole = signed(turn_id)
    no_tickets = {
        "expired": signed(turn_id, seconds=-1),
        "another turn's": signed(another_id()),
        "an unknown key's": signed(turn_id, key=signing_key("gateway", 2)),
        "another service's": signed(turn_id, key=signing_key("inference")),
        "cut": whole[:-4],
        "unsigned": jwt.encode(
            jwt.decode(whole, options={"verify_signature": False}), "", algorithm="none"
        ),
        "a principal": signed_principal(ADA, audience="stream-ticket"),
        "a token": token(sub="ada", tenant="acme"),
        "empty": "",
        "no text": "%FF%00",
    }
    for name, ticket in no_tickets.items():
        async with bare(gateway, f"/v1/turns/{turn_id}/stream?ticket={ticket}") as answer:
            assert answer.status == 401, name
            assert (await answer.json())["error"]["code"] == "invalid_ticket"


async def test_a_ticket_opens_nothing_else(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    started = await opened(gateway)
    ticket = ticket_in(started["stream_url"])
    for path in (f"turns/{started['turn_id']}", f"sessions/{SESSION_ID}", f"history/{SESSION_ID}"):
        async with bare(gateway, f"/v1/{path}?ticket={ticket}") as answer:
            assert answer.status == 401
        async with bare(gateway, f"/v1/{path}", authorization=f"Bearer {ticket}") as answer:
            assert answer.status == 401
    async with gateway.http.post(f"{gateway.url}{started['stream_url']}") as answer:
        assert answer.status == 405


async def test_a_ticket_is_not_accepted_as_a_token_even_with_the_same_key() -> None:
    ticket = signed(str(uuid4()))
    with pytest.raises(InvalidToken):
        await SharedSecretVerifier("s" * 32).verify(ticket)
    with pytest.raises(InvalidPrincipal):
        decode_principal_token(ticket, service_keys(), audience="stream-ticket")


async def test_an_unexpected_error_logs_no_ticket(
    gateway: Gateway,
    session: FakeSessionService,
    inference: Inference,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    inference.script(Stalls())
    url = (await opened(gateway))["stream_url"]
    inference.script(deltas("Hel"), lambda: sse.ended(session.end("Hello")))

    def surprising(*_: Any, **__: Any) -> None:
        raise RuntimeError("a surprise")

    monkeypatch.setattr(TurnEventFramer, "feed", surprising)
    async with bare(gateway, url, last_event_id="0") as answer:
        with pytest.raises(Exception, match="payload"):
            await answer.read()
    assert "a surprise" in caplog.text
    assert ticket_in(url) not in caplog.text
    assert ticket_in(url)[-40:] not in caplog.text


def test_a_ticket_of_the_key_before_is_valid_while_both_are_known() -> None:
    turn_id, ada = uuid4(), Principal("acme", "ada")
    old, new, keys = signing_key("gateway", 1), signing_key("gateway", 2), service_keys()
    ticket = ticket_in(StreamTickets(old, keys).stream_url(turn_id, ada))
    replaced = StreamTickets(new, keys)
    assert replaced.verify(ticket, turn_id) == ada
    keys.replace(ServiceKeys({}))
    with pytest.raises(InvalidTicket):
        replaced.verify(ticket, turn_id)
