"""The assistant routes, over HTTP: reading, administration and scopes."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import ADA, ApiResponse
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_testing.eventually import eventually

GRACE = Principal("acme", "grace", frozenset({"assistants:write"}))
ROOT = Principal("acme", "root", frozenset({"admin"}))
USER = Principal("acme", "user", frozenset({"audit:read"}))
OTHER = Principal("other", "grace", frozenset({"assistants:write", "admin"}))

CHEF = {"id": "chef", "name": "Chef", "description": "Cooks.", "instructions": "Be a chef."}


async def define(session: Service, **changed: Any) -> dict[str, Any]:
    response = await session.call("POST", "/assistants", CHEF | changed, who=GRACE)
    assert response.status == 201, response.body
    return dict(response.body)


async def revise(session: Service, **changes: Any) -> ApiResponse:
    return await session.call("PATCH", "/assistants/chef", changes, who=GRACE)


async def listed(session: Service, query: str = "", who: Principal = USER) -> list[str]:
    response = await session.call("GET", f"/assistants{query}", who=who)
    assert response.status == 200, response.body
    return [assistant["id"] for assistant in response.body["data"]]


async def test_a_defined_assistant_is_visible_to_the_tenant_at_once(session: Service) -> None:
    defined = await define(session)
    assert defined == {
        "object": "assistant",
        "version": 1,
        "model": "demo",
        "default": False,
        "retired": False,
        "temporary_seconds": 86_400,
        "undelete_seconds": 0,
        **CHEF,
    }
    assert await listed(session) == ["helper", "coder", "tutor", "chef"]
    assert await listed(session, who=OTHER) == ["helper", "coder", "tutor"]
    response = await session.call("POST", "/sessions", {"assistant_id": "chef"}, who=USER)
    assert response.status == 201


async def test_an_id_may_have_underscores(session: Service) -> None:
    await define(session, id="asst_2-b")
    assert (await session.call("GET", "/assistants/asst_2-b", who=USER)).status == 200
    response = await session.call("POST", "/sessions", {"assistant_id": "asst_2-b"}, who=USER)
    assert (response.status, response.body["assistant_id"]) == (201, "asst_2-b")


async def test_only_administrators_see_instructions(session: Service) -> None:
    await define(session)
    for who in (GRACE, ROOT, USER):
        expected = who is not USER
        for path in ("/assistants/chef", "/assistants/helper"):
            response = await session.call("GET", path, who=who)
            assert ("instructions" in response.body) == expected
        page = await session.call("GET", "/assistants", who=who)
        assert all(("instructions" in each) == expected for each in page.body["data"])


async def test_a_revision_changes_the_given_fields_and_the_version(
    session: Service,
) -> None:
    await define(session)
    response = await revise(session, instructions="Be quick.", model="m2")
    assert (response.status, response.body["version"]) == (200, 2)
    assert (response.body["instructions"], response.body["model"]) == ("Be quick.", "m2")
    assert response.body["name"] == "Chef"
    assert (await revise(session, model=None)).body["model"] == "demo"
    assert (await revise(session, name="Chef")).body["version"] == 3
    assert (await revise(session)).body["version"] == 3


async def test_a_retired_assistant_takes_no_new_sessions_and_existing_ones_continue(
    session: Service,
) -> None:
    await define(session)
    started = await session.call("POST", "/sessions", {"assistant_id": "chef"}, who=USER)
    await revise(session, instructions="Be quick.")
    for _ in range(2):
        response = await session.call("DELETE", "/assistants/chef", who=GRACE)
        assert (response.status, response.body["retired"], response.body["version"]) == (
            200,
            True,
            2,
        )
    assert "chef" not in await listed(session)
    assert (await session.call("GET", "/assistants/chef", who=USER)).body["retired"]

    chef = {"assistant_id": "chef"}
    rejected = await session.call("POST", "/sessions", chef, who=ROOT)
    assert rejected.error == (409, "assistant_retired", "assistant_id")
    assert (await session.call("POST", "/switch-assistant", chef, who=ROOT)).status == 409
    # Owners of existing sessions can still read it.
    found = await session.call("POST", "/switch-assistant", chef, who=USER)
    assert found.body["session"]["id"] == started.body["id"]
    assert (await revise(session, name="Cook")).error[:2] == (409, "assistant_retired")
    repeated = await session.call("POST", "/assistants", CHEF, who=GRACE)
    assert repeated.error == (409, "assistant_id_taken", "id")


async def test_the_model_gets_the_instructions_of_the_version_of_the_turn(
    session: Service,
) -> None:
    await define(session)
    started = await session.call("POST", "/sessions", {"assistant_id": "chef"}, who=USER)
    path = f"/sessions/{started.body['id']}/messages"
    turn = (await session.call("POST", path, {"content": "Hungry"}, who=USER)).body
    await revise(session, instructions="Be quick.")
    runner = str(uuid4())
    run = (await session.claim(turn["id"], runner, who=USER))["run"]
    assert run["instructions"] == "Be a chef."
    assert (await session.complete(turn["id"], runner)).status == 200
    turn = (await session.call("POST", path, {"content": "Still hungry"}, who=USER)).body
    run = (await session.claim(turn["id"], runner, who=USER))["run"]
    assert run["instructions"] == "Be quick."


async def test_only_the_gateway_may_call(session: Service) -> None:
    for method, path in (
        ("GET", "/assistants"),
        ("POST", "/assistants"),
        ("GET", "/assistants/helper"),
        ("PATCH", "/assistants/helper"),
        ("DELETE", "/assistants/helper"),
    ):
        for issuer in ("history", "inference", "cli"):
            response = await session.call(method, path, who=GRACE, issuer=issuer)
            assert response.error == (403, "service_not_allowed", None)


@pytest.mark.parametrize("who", [USER, ADA])
async def test_only_administrators_change_assistants(session: Service, who: Principal) -> None:
    for method, path, body in (
        ("POST", "/assistants", CHEF),
        ("PATCH", "/assistants/helper", {"name": "Mine"}),
        ("DELETE", "/assistants/helper", None),
    ):
        response = await session.call(method, path, body, who=who)
        assert response.error == (403, "missing_scope", None)


async def test_shared_and_foreign_assistants_cannot_be_changed(
    session: Service,
) -> None:
    await define(session)
    for method, body in (("PATCH", {"name": "Mine"}), ("DELETE", None)):
        response = await session.call(method, "/assistants/helper", body, who=GRACE)
        assert response.error == (403, "assistant_shared", None)
        response = await session.call(method, "/assistants/chef", body, who=OTHER)
        assert response.error[:2] == (404, "assistant_not_found")
    response = await session.call("POST", "/assistants", CHEF | {"id": "helper"}, who=GRACE)
    assert response.error == (409, "assistant_id_taken", "id")
    assert (await session.call("GET", "/assistants/chef", who=OTHER)).status == 404
    # Another tenant has its own assistant with the same id.
    assert (await session.call("POST", "/assistants", CHEF, who=OTHER)).status == 201


async def test_a_repeated_definition_succeeds_and_a_different_one_is_rejected(
    session: Service,
) -> None:
    first = await session.call("POST", "/assistants", CHEF, who=GRACE, key="k1")
    repeated = await session.call("POST", "/assistants", CHEF, who=GRACE, key="k1")
    assert (first.status, repeated.status) == (201, 200)
    assert repeated.body == first.body
    other = CHEF | {"name": "Cook"}
    for key in ("k1", None):
        response = await session.call("POST", "/assistants", other, who=GRACE, key=key)
        assert response.error == (409, "assistant_id_taken", "id")


async def test_concurrent_revisions_are_all_applied(session: Service, pool: Pool) -> None:
    await define(session)
    fields = {"name": "Cook", "description": "Fries.", "instructions": "Be hot.", "model": "m9"}
    responses = await asyncio.gather(
        *(revise(session, **{field: value}) for field, value in fields.items())
    )
    assert [response.status for response in responses] == [200] * 4
    now = (await session.call("GET", "/assistants/chef", who=GRACE)).body
    assert {field: now[field] for field in fields} == fields
    assert now["version"] == 5
    assert await pool.fetchval("SELECT count(*) FROM assistant_outbox") == 5


async def test_concurrent_definitions_of_one_id_create_one_assistant(session: Service) -> None:
    responses = await asyncio.gather(
        *(session.call("POST", "/assistants", CHEF, who=GRACE) for _ in range(5))
    )
    assert sorted(response.status for response in responses) == [201, 409, 409, 409, 409]


async def test_a_tenant_has_a_bounded_number_of_assistants(serve: Any) -> None:
    session = await serve(MAX_ASSISTANTS_PER_TENANT=1)
    await define(session)
    response = await session.call("POST", "/assistants", CHEF | {"id": "cook"}, who=GRACE)
    assert response.error == (409, "assistants_full", None)
    assert (await session.call("POST", "/assistants", CHEF, who=OTHER)).status == 201
    await session.call("DELETE", "/assistants/chef", who=GRACE)
    await define(session, id="cook")


async def test_another_process_sees_a_change_within_the_cache_time(serve: Any, pool: Pool) -> None:
    here, there = await serve(), await serve()
    await define(here)
    await there.call("POST", "/sessions", {"assistant_id": "chef"}, who=USER)
    await revise(here, name="Cook")

    async def starts_with_the_second() -> bool:
        await there.call("POST", "/sessions", {"assistant_id": "chef"}, who=USER)
        version = "SELECT max((data->>'assistant_version')::int) FROM events"
        return bool(await pool.fetchval(version) == 2)

    await eventually(starts_with_the_second, within=5)


async def test_the_list_has_pages_in_both_directions(session: Service) -> None:
    await define(session)
    assert await listed(session, "?limit=2") == ["helper", "coder"]
    assert await listed(session, "?limit=2&after=coder") == ["tutor", "chef"]
    assert await listed(session, "?limit=2&before=chef") == ["coder", "tutor"]
    assert await listed(session, "?order=desc&limit=2") == ["chef", "tutor"]
    assert await listed(session, "?order=desc&before=coder") == ["chef", "tutor"]
    assert await listed(session, "?after=chef") == []
    for query, more in (("?limit=3", True), ("?limit=4", False), ("?before=chef&limit=2", True)):
        page = (await session.call("GET", f"/assistants{query}", who=USER)).body
        assert page["has_more"] == more
        assert (page["first_id"], page["last_id"]) == (
            page["data"][0]["id"],
            page["data"][-1]["id"],
        )


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("order=up", "order"),
        ("after=nobody", "after"),
        ("before=", "before"),
        ("before=%00", "before"),
        ("after=helper&before=coder", "before"),
    ],
)
async def test_an_invalid_query_parameter_is_rejected_by_name(
    session: Service, query: str, param: str
) -> None:
    response = await session.call("GET", f"/assistants?{query}")
    assert response.error == (400, "invalid_request", param)


async def test_an_invalid_field_of_a_body_is_rejected_by_name(session: Service) -> None:
    for changed, param in (
        ({"id": "Chef"}, "id"),
        ({"id": "c" * 65}, "id"),
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"description": "d" * 1_001}, "description"),
        ({"instructions": "i" * 32_769}, "instructions"),
        ({"model": "m" * 201}, "model"),
        ({"default": True}, "default"),
    ):
        response = await session.call("POST", "/assistants", CHEF | changed, who=GRACE)
        assert response.error == (400, "invalid_request", param)
    for changes, param in (({"name": None}, "name"), ({"id": "cook"}, "id")):
        assert (await revise(session, **changes)).error == (400, "invalid_request", param)


async def test_an_impossible_assistant_id_is_not_found(session: Service) -> None:
    for assistant_id in ("%00", "a" * 300, "Helper", "%F0%9F%8D%B3"):
        for method in ("GET", "DELETE"):
            response = await session.call(method, f"/assistants/{assistant_id}", who=GRACE)
            assert response.error[:2] == (404, "assistant_not_found")
