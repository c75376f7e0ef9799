"""Property tests: every response conforms to the OpenAPI document, for valid and invalid input."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from e2e_support.stack import Stack
from e2e_support.user import User
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES, SECONDS = 4, 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# Deterministic, and reports the first failing example without shrinking.
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


async def test_every_response_conforms_to_the_document(stack: Stack) -> None:
    document = (await stack.fetch("/openapi.json")).json()
    schema: Any = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 25
    for operation in operations:
        # Each operation gets its own user and session: some operations erase them.
        name = f"user-{uuid4()}"
        user = stack.user(name, tenant="fuzzed", scope="admin")
        token = stack.token(name, tenant="fuzzed", scope="admin")
        known = await _known_ids(user)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            ids = {name: known[name] for name in known if f"{{{name}}}" in operation.path}
            await asyncio.to_thread(_check_responses, operation, mode, {}, stack.url, token)
            if ids:
                await asyncio.to_thread(_check_responses, operation, mode, ids, stack.url, token)


async def _known_ids(user: User) -> dict[str, str]:
    session = await user.start_session()
    turn = await user.send(session, "Hello")
    return {"session_id": session, "turn_id": turn["id"], "assistant_id": "helper"}


def _check_responses(
    operation: Any, mode: GenerationMode, ids: dict[str, str], url: str, token: str
) -> None:
    @QUICK
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if ids:
            case.path_parameters = ids
        headers = {"authorization": f"Bearer {token}"}
        response = case.call(base_url=url, headers=headers, timeout=SECONDS)
        case.validate_response(response, checks=CHECKS)

    # An operation without parameters has no invalid input.
    with suppress(Unsatisfiable):
        send()
