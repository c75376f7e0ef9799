"""API keys through the public API: as the `api_key` of OpenAI's SDK, with models, and revoked."""

from contextlib import suppress
from typing import Any
from uuid import uuid4

import openai
import pytest
from e2e_support.kafka_records import headers_of, read_records
from e2e_support.model_server import MODEL, WITH_FALLBACK
from e2e_support.stack import Stack
from e2e_support.user import User

from parley_events.topics import API_KEYS_TOPIC
from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION: Any = [{"role": "user", "content": "Hello"}]


def sdk(stack: Stack, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0)


@pytest.fixture
def ada(stack: Stack) -> User:
    return stack.user(f"ada-{uuid4()}", scope="assistants:write")


async def test_a_program_chats_with_an_api_key_and_is_refused_once_it_is_revoked(
    stack: Stack, ada: User
) -> None:
    created = await ada.post("/api-keys", {"name": "a program"})
    async with sdk(stack, created["key"]) as client:
        completion = await client.chat.completions.create(model=MODEL, messages=QUESTION)
        assert completion.choices[0].message.content

        session = (await ada.post("/sessions", {}))["id"]
        program = stack.user_with_token(created["key"])
        assert (await program.get(f"/sessions/{session}"))["id"] == session
        refused = await program.expect_error("POST", "/api-keys", json={"name": "another"})
        assert (refused[0], refused[1]["code"]) == (403, "api_key_not_allowed")

        [listed] = (await ada.get("/api-keys"))["data"]
        assert listed["last_used_on"] is not None
        assert listed | {"last_used_on": None, "key": created["key"]} == created

        assert (await ada.delete(f"/api-keys/{created['id']}"))["deleted"] is True

        async def is_refused() -> bool:
            try:
                await client.models.list()
            except openai.AuthenticationError as error:
                return error.code == "invalid_token"
            return False

        await eventually(is_refused, within=5)


async def test_an_api_key_is_bound_to_its_models_in_and_outside_sessions(
    stack: Stack, ada: User
) -> None:
    created = await ada.post("/api-keys", {"name": "a program", "models": [WITH_FALLBACK]})
    session = (await ada.post("/sessions", {}))["id"]
    program = stack.user_with_token(created["key"])
    async with sdk(stack, created["key"]) as client:
        extras: tuple[dict[str, Any], ...] = ({}, {"metadata": {"session_id": session}})
        for extra in extras:
            with pytest.raises(openai.PermissionDeniedError) as refused:
                await client.chat.completions.create(
                    model=MODEL, messages=QUESTION, extra_body=extra
                )
            assert refused.value.code == "model_not_allowed"
        allowed = await client.chat.completions.create(model=WITH_FALLBACK, messages=QUESTION)
        assert allowed.choices[0].message.content
    path = f"/sessions/{session}/messages"
    status, error = await program.expect_error("POST", path, json={"content": "Hello"})
    assert (status, error["code"], error["param"]) == (403, "model_not_allowed", "model")


async def test_an_api_key_has_some_of_its_owners_scopes(stack: Stack) -> None:
    ada = stack.user(f"ada-{uuid4()}", tenant=f"acme-{uuid4()}", scope="assistants:write")
    body = {"name": "a program", "scopes": ["admin"]}
    status, error = await ada.expect_error("POST", "/api-keys", json=body)
    assert (status, error["code"], error["param"]) == (403, "missing_scope", "scopes")

    async def define(scopes: list[str]) -> int:
        created = await ada.post("/api-keys", {"name": "a program", "scopes": scopes})
        program = stack.user_with_token(created["key"])
        definition = {"id": f"a{uuid4().hex}", "name": "A", "instructions": "Be kind."}
        return (await program.request("POST", "/assistants", json=definition)).status_code

    assert await define([]) == 403
    assert await define(["assistants:write"]) == 201


async def test_keys_are_events_of_a_topic_of_their_own_and_their_secrets_are_nowhere(
    stack: Stack, ada: User
) -> None:
    created = await ada.post("/api-keys", {"name": "a private name"})
    await stack.user_with_token(created["key"]).get("/models")
    await ada.delete(f"/api-keys/{created['id']}")
    secret = created["key"].split("_", 2)[2].encode()

    async def types() -> list[str]:
        records = await read_records(stack.kafka, API_KEYS_TOPIC, 1)
        for record in records:
            assert secret not in record.value
            assert b"a private name" not in record.value
        ours = [record for record in records if record.key == created["id"].encode()]
        return [headers_of(record)["ce_type"] for record in ours]

    async def are_published() -> bool:
        return await types() == [
            "parley.api_key.api_key_created.v1",
            "parley.api_key.api_key_revoked.v1",
        ]

    await eventually(are_published)
    for path in stack.data.rglob("*"):
        # PostgreSQL removes files of its own meanwhile.
        with suppress(FileNotFoundError, IsADirectoryError):
            assert secret not in path.read_bytes(), path


async def test_the_command_line_creates_lists_and_revokes_keys(stack: Stack) -> None:
    user = f"ada-{uuid4()}"
    created = await stack.stdout_of(
        *("api-keys", "create", "--user", user, "--name", "a program", "--days", "1"),
        *("--scope", "assistants:write", "--model", MODEL),
    )
    program = stack.user_with_token(created.strip())
    assert (await program.get("/models"))["object"] == "list"
    listed = await stack.stdout_of("api-keys", "list", "--user", user)
    key_id, _, shown = listed.partition("  ")
    assert shown.startswith(f"a program  (assistants:write; {MODEL}; expires ")
    await stack.stdout_of("api-keys", "revoke", "--user", user, key_id)
    assert await stack.stdout_of("api-keys", "list", "--user", user) == ""
