"""Who may send which request: each role asks each public route, and docs/access.md has the
statuses.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from e2e_support.access_requests import REQUESTS, AccessRequest
from e2e_support.access_roles import OWNERS, ROLES, Tenant
from e2e_support.stack import Stack
from starlette.routing import Mount, Route

from tools.openapi_document import started_api

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = Path(__file__).parents[2] / "docs/access.md"
INTRODUCTION = """\
# Who may send which request

<!-- Generated: UPDATE_GOLDEN=1 pytest tests/e2e/test_access_table.py -->

Each role asks each public route of a running stack, and the cells are the statuses of the
responses. The test that does so fails if a route is missing here, or if a status has changed, or if
a response to another person has a word of the owner. Requests are valid: with a status below 300,
the role may send this one. The ids in paths are those of the owner, who is of the same tenant as
all roles but the stranger. A route without an id concerns what belongs to the person who asks, or
to their tenant.
"""


async def test_every_route_is_in_the_table_of_access() -> None:
    async with started_api() as api:
        routes = {
            f"{method} {route.path}"
            for route in api.routes
            if isinstance(route, Route)
            for method in (route.methods or ())
        } | {f"GET {route.path}" for route in api.routes if isinstance(route, Mount)}
    # HEAD is answered as GET is, without the body.
    expected = {route for route in routes if not route.startswith("HEAD ")}
    assert {request.route for request in REQUESTS} == expected


@pytest.mark.timeout(300)
async def test_each_role_gets_the_statuses_of_the_table_and_nothing_of_the_owner(
    stack: Stack,
) -> None:
    tenants = {name: Tenant(stack, name) for name in {request.tenant for request in REQUESTS}}
    found = {
        request.title: await statuses(tenants[request.tenant], request) for request in REQUESTS
    }
    page = "\n".join([INTRODUCTION, *_lines(found)]) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page


async def statuses(tenant: Tenant, request: AccessRequest) -> Mapping[str, int] | None:
    """By role; None for a route that needs no token."""
    found = {}
    for role in ROLES:
        found[role], text = await tenant.ask(role, request)
        if role == "no token" and found[role] != 401:
            return None
        assert found[role] < 500, (role, request.title, text)
        assert role in OWNERS or tenant.secret not in text, (role, request.title)
    return found


def _lines(found: Mapping[str, Mapping[str, int] | None]) -> Iterator[str]:
    yield "| role | is |\n|---|---|"
    yield from (f"| {role} | {meaning} |" for role, meaning in ROLES.items())
    yield f"\n| request | {' | '.join(ROLES)} |\n|---|{'---|' * len(ROLES)}"
    for title, of_roles in found.items():
        if of_roles is not None:
            yield f"| {title} | {' | '.join(map(str, of_roles.values()))} |"
    yield "\nThese need no token, and have nothing of any person:\n"
    yield from (f"- {title}" for title, of_roles in found.items() if of_roles is None)
