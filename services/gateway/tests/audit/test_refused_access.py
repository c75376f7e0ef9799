"""Refused access is reported to session: a sample, and how much the sample leaves out."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.issuer import token
from prometheus_client import CollectorRegistry

from parley_contracts.session_api.limits import MAX_REFUSALS_PER_REQUEST
from parley_core.auth.principal import Credential, Principal, service_principal
from parley_core.http.errors import NotFound, ParleyError, Unavailable
from parley_core.http.service_client import ServiceClient
from parley_gateway.audit.refused_access import (
    MAX_QUEUED,
    MAX_RECORDS,
    MAX_RECORDS_PER_CLIENT,
    RefusedAccessRecorder,
)
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

ADA = Principal("default", "ada", credential=Credential("t-1"))
DROPPED = "parley_gateway_audit_records_dropped_total"


class Session:
    """Stands for the client of session; it fails with `error`, if any."""

    service_principal = service_principal("gateway")

    def __init__(self) -> None:
        self.refused: list[dict[str, Any]] = []
        self.error: ParleyError | None = None

    async def call(self, *_: object, body: bytes, **__: object) -> None:
        if self.error is not None:
            raise self.error
        self.refused += json.loads(body)["refused"]

    @property
    def total(self) -> int:
        return sum(each.get("left_out", 1) for each in self.refused)


class Recorder(RefusedAccessRecorder):
    def __init__(self) -> None:
        self.registry, self.session = CollectorRegistry(), Session()
        super().__init__(lambda scope: scope["address"], self.registry)

    def refuse(
        self,
        times: int = 1,
        *,
        address: str = "192.0.2.1",
        principal: Principal | None = ADA,
        status: int = 403,
        code: str = "missing_scope",
    ) -> None:
        state = {"principal": principal, "error_code": code, "request_id": "req-1"}
        scope = {"method": "GET", "address": address, "state": state, "path_params": {}}
        for _ in range(times):
            self.observe(scope, status)

    async def report(self) -> list[dict[str, Any]]:
        self.session.refused = []
        await self.send(cast(ServiceClient, self.session))
        return self.session.refused


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_a_refusal_has_its_person_address_token_and_code(recorder: Recorder) -> None:
    recorder.refuse()
    assert await recorder.report() == [
        {
            "code": "missing_scope",
            "tenant": "default",
            "user": "ada",
            "request_id": "req-1",
            "client_address": "192.0.2.1",
            "token_id": "t-1",
        }
    ]
    assert await recorder.report() == []


async def test_of_each_person_and_address_a_sample_is_recorded_and_the_rest_counted(
    recorder: Recorder,
) -> None:
    recorder.refuse(MAX_RECORDS_PER_CLIENT + 7)
    recorder.refuse(2, principal=None, status=401, code="invalid_token")
    recorder.refuse(1, address="192.0.2.2")
    found = await recorder.report()
    assert len(found) == MAX_RECORDS_PER_CLIENT + 4
    [left_out] = [each for each in found if "left_out" in each]
    assert left_out == {
        "tenant": "default",
        "user": "ada",
        "client_address": "192.0.2.1",
        "left_out": 7,
    }
    recorder.refuse()
    assert len(await recorder.report()) == 1


async def test_a_flood_from_many_addresses_has_a_bounded_number_of_records(
    recorder: Recorder,
) -> None:
    for number in range(5_000):
        recorder.refuse(2, address=f"192.0.2.{number}", principal=None, status=401)
    found = await recorder.report()
    assert len(found) <= 2 * MAX_RECORDS + 1
    assert recorder.session.total == 10_000


async def test_refusals_wait_for_session_and_what_is_dropped_is_counted(
    recorder: Recorder,
) -> None:
    recorder.session.error = Unavailable("No.", code="session_unavailable")
    sent = 0
    while not recorder.registry.get_sample_value(DROPPED):
        for number in range(MAX_RECORDS):
            recorder.refuse(address=f"192.0.2.{number}")
            sent += 1
        assert await recorder.report() == []
    recorder.session.error = None
    found = await recorder.report()
    assert len(found) <= MAX_QUEUED + 1
    lost = recorder.registry.get_sample_value(DROPPED)
    assert lost
    assert found[-1] == {"left_out": lost}
    assert sum(each.get("left_out", 1) for each in found) == sent


async def test_records_that_session_refuses_do_not_hold_up_others(recorder: Recorder) -> None:
    recorder.refuse(2)
    recorder.session.error = NotFound("An older version.")
    for _ in range(3):
        assert await recorder.report() == []
        assert recorder.registry.get_sample_value(DROPPED) == 2
    recorder.session.error = None
    assert await recorder.report() == [{"left_out": 2}]


async def test_records_behind_those_that_session_refuses_are_sent_later(recorder: Recorder) -> None:
    recorder.session.error = Unavailable("No.", code="session_unavailable")
    for number in range(MAX_REFUSALS_PER_REQUEST + 1):
        recorder.refuse(address=f"192.0.2.{number}")
        if number % MAX_RECORDS == 0:
            await recorder.report()
    recorder.session.error = NotFound("One of the first is unknown.")
    assert await recorder.report() == []
    recorder.session.error = None
    [last, number_of_first] = await recorder.report()
    assert last["user"] == "ada"
    assert number_of_first == {"left_out": MAX_REFUSALS_PER_REQUEST}


async def test_other_errors_are_no_refused_access(recorder: Recorder) -> None:
    for status, code in ((200, None), (404, "assistant_not_found"), (429, "too_many_turns")):
        recorder.refuse(status=status, code=str(code))
    assert await recorder.report() == []


async def test_a_gateway_reports_what_it_refuses(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService
) -> None:
    gateway = await start({"audit.refused_access.INTERVAL_SECONDS": 0.01})
    session.errors["get"] = 403, "missing_scope"
    await gateway.get("/v1/audit", bearer=token(sub="eve", jti="t-9"))
    await gateway.get("/v1/models", bearer="bad")
    session.errors["get"] = 404, "session_not_found"
    await gateway.get(f"/v1/sessions/{SESSION_ID}", bearer=token(sub="eve"))

    def reported() -> list[Any]:
        # A report whose answer is late is sent again.
        return [*{each["request_id"]: each for each in session.refused}.values()]

    await eventually(lambda: len(reported()) == 3, within=30)
    forbidden, unknown, hidden = reported()
    assert (forbidden["user"], forbidden["code"]) == ("eve", "missing_scope")
    assert (forbidden["route"], forbidden["token_id"]) == ("GET /v1/audit", "t-9")
    assert forbidden["client_address"] == unknown["client_address"] == "127.0.0.1"
    assert (unknown["code"], "user" in unknown) == ("invalid_token", False)
    assert (hidden["code"], hidden["session_id"]) == ("session_not_found", str(SESSION_ID))


async def test_an_auditor_reads_the_trail_through_the_gateway(
    gateway: Gateway, session: FakeSessionService
) -> None:
    path = "/v1/audit?user=eve&action=session.erased&since=2026-11-29T12:00:00Z&limit=5"
    assert (await gateway.get(path, bearer=token(scope="audit:read")))[0] == 200
    [call] = session.calls
    assert call.path == "/audit"
    assert call.query == {
        "user": "eve",
        "action": "session.erased",
        "since": "2026-11-29T12:00:00.000000Z",
        "limit": "5",
        "order": "desc",
    }
