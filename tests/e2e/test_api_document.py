"""Whatever is sent, valid or not, nothing but what the OpenAPI document says comes back."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from stack.parley import Stack
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES, SECONDS = 4, 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# The same examples each time, and each failure at its first one.
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


async def test_only_what_the_document_says_comes_back(stack: Stack) -> None:
    document = (await stack.fetch("/openapi.json")).json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 25
    for operation in operations:
        # Each has a conversation of its own: some operations erase it.
        user = f"anyone-{uuid4()}"
        person = stack.person(user, tenant="fuzzed", scope="admin")
        token = stack.token(user, tenant="fuzzed", scope="admin")
        known = await _known_ids(person)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            ids = {name: known[name] for name in known if f"{{{name}}}" in operation.path}
            await asyncio.to_thread(_hunt, operation, mode, {}, stack.url, token)
            if ids:
                await asyncio.to_thread(_hunt, operation, mode, ids, stack.url, token)


async def _known_ids(person: Person) -> dict[str, str]:
    session = await person.start_session()
    turn = await person.ask(session, "Hello")
    return {"session_id": session, "turn_id": turn["id"], "assistant_id": "helper"}


def _hunt(operation: Any, mode: GenerationMode, ids: dict[str, str], url: str, token: str) -> None:
    @QUICK
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        if ids:
            case.path_parameters = ids
        headers = {"authorization": f"Bearer {token}"}
        response = case.call(base_url=url, headers=headers, timeout=SECONDS)
        case.validate_response(response, checks=CHECKS)

    # Of what takes nothing, nothing is wrong.
    with suppress(Unsatisfiable):
        ask()
