"""A turn is one trace, from the client to the read model, and nothing that was said is in it."""

import asyncio
import secrets
from collections.abc import Iterable
from contextlib import suppress
from uuid import uuid4

import pytest
from e2e_support.kafka_records import headers_of, read_records
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_testing.eventually import eventually
from parley_testing.otlp_receiver import OTLPReceiver, ReceivedSpan

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEND, PROCESS = "send parley.sessions.v1", "process parley.sessions.v1"
SUBMIT = "POST /v1/sessions/{session_id}/messages"
_ENTRY = f"client > parley-gateway server {SUBMIT}"
_TURN = (
    f"{_ENTRY} > parley-gateway client POST inference"
    " > parley-inference server POST /turns/{turn_id:uuid}/stream > parley-inference internal turn"
)
EXPECTED = {
    f"{_ENTRY} > parley-gateway client POST session"
    " > parley-session server POST /sessions/{session_id:uuid}/messages"
    " > parley-session internal append",
    f"{_TURN} > parley-inference client chat scripted",
    f"{_TURN} > parley-inference client POST session"
    " > parley-session server POST /turns/{turn_id:uuid}/complete > parley-session internal append",
}


class Trace:
    """A sampled trace of a trusted client; the stack samples none of its own."""

    def __init__(self) -> None:
        self.id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.id}-{self.span_id}-01"}


def paths_of(spans: Iterable[ReceivedSpan], trace: Trace) -> set[str]:
    """Of each span, the way to it from the client's; of one whose parent is missing, a part."""
    by_id = {each.span_id: each for each in spans}

    def path(span: ReceivedSpan) -> list[str]:
        name = f"{span.service} {span.kind} {span.name}"
        if span.parent_id == trace.span_id:
            return ["client", name]
        parent = by_id.get(span.parent_id)
        return [*(path(parent) if parent else ()), name]

    return {" > ".join(path(each)) for each in by_id.values()}


def spans_named(spans: Iterable[ReceivedSpan], name: str) -> list[ReceivedSpan]:
    return [each for each in spans if each.name == name]


def ids_of(spans: Iterable[ReceivedSpan]) -> set[str]:
    return {each.span_id for each in spans}


def links_of(spans: Iterable[ReceivedSpan]) -> set[str]:
    return {span_id for each in spans for _, span_id in each.links}


async def test_a_turn_is_one_trace_from_the_client_to_the_read_model_without_a_word_of_it(
    clients: list[User], stack: Stack, traces: OTLPReceiver
) -> None:
    user, trace, planted = clients[0], Trace(), f"xylophone-{uuid4()}"
    session = await user.start_session()
    response = await user.request(
        "POST", f"/sessions/{session}/messages", json={"content": planted}, headers=trace.headers
    )
    assert planted in response.json()["reply"]["content"]

    def have_arrived() -> bool:
        spans = traces.spans(trace.id)
        appends = ids_of(spans_named(spans, "append"))
        batches = [spans_named(spans, name) for name in (SEND, PROCESS)]
        are_linked = len(appends) == 2 and all(links_of(each) == appends for each in batches)
        return are_linked and paths_of(spans, trace) >= EXPECTED

    with suppress(TimeoutError):
        await eventually(have_arrived)
    spans = traces.spans(trace.id)
    assert paths_of(spans, trace) >= EXPECTED
    appends = ids_of(spans_named(spans, "append"))
    assert links_of(spans_named(spans, SEND)) == links_of(spans_named(spans, PROCESS)) == appends
    assert {each.kind for each in spans_named(spans, SEND)} == {"producer"}
    assert {each.kind for each in spans_named(spans, PROCESS)} == {"consumer"}

    records = await read_records(stack.kafka)
    headers = [headers_of(each) for each in records if each.key.decode() == session]
    traced = {each["traceparent"] for each in headers if "traceparent" in each}
    assert {each for each in traced if trace.id in each} == {
        f"00-{trace.id}-{span_id}-01" for span_id in appends
    }
    sent = b"".join(traces.bodies)
    assert planted.encode() not in sent
    assert b"Answer to" not in sent


async def test_log_lines_of_every_service_have_the_ids_of_the_trace(
    clients: list[User], stack: Stack, traces: OTLPReceiver
) -> None:
    user, trace = clients[0], Trace()
    session = await user.start_session()
    path = f"/sessions/{session}/messages"
    await user.request("POST", path, json={"content": "Hello?"}, headers=trace.headers)
    await user.request("GET", f"/history/{session}", headers=trace.headers)
    services = ("gateway", "session", "inference", "history-serve")

    def is_logged() -> bool:
        return all(
            any(trace.id in stack.log(name) for name in (service, f"{service}-2"))
            for service in services
        )

    await eventually(is_logged)


async def test_concurrent_turns_are_traces_of_their_own_that_share_batches(
    clients: list[User], traces: OTLPReceiver
) -> None:
    user, started = clients[0], [Trace() for _ in range(6)]
    sessions = [await user.start_session() for _ in started]

    async def send(session: str, trace: Trace) -> None:
        path = f"/sessions/{session}/messages"
        await user.request("POST", path, json={"content": "Hello?"}, headers=trace.headers)

    await asyncio.gather(*map(send, sessions, started))

    def all_are_projected() -> bool:
        linked = {
            trace_id
            for each in traces.spans()
            if each.kind == "consumer"
            for trace_id, _ in each.links
        }
        return {each.id for each in started} <= linked

    await eventually(all_are_projected)
