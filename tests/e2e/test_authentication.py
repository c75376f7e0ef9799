"""Authentication by bearer token at the gateway."""

import time
from uuid import uuid4

import jwt
import pytest
from e2e_support.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANY = "0f8fad5b-d9cb-469f-a165-70867728950e"


def _unsigned(user: str) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + 600}, "", algorithm="none")


def _forged(user: str) -> str:
    claims = {"sub": user, "exp": int(time.time()) + 600}
    return jwt.encode(claims, "not-the-secret-of-this-stack-at-all", algorithm="HS256")


@pytest.mark.parametrize("path", ["/assistants", "/models", f"/sessions/{ANY}", f"/history/{ANY}"])
async def test_a_request_without_a_valid_token_is_unauthorized(stack: Stack, path: str) -> None:
    name = f"ada-{uuid4()}"
    tokens = {
        "garbage": "no.jwt.atall",
        "unsigned": _unsigned(name),
        "forged": _forged(name),
        "expired": stack.token(name, exp=int(time.time()) - 60),
        "endless": jwt.encode({"sub": name}, stack.jwt_secret, algorithm="HS256"),
        "nobody's": stack.token(""),
    }
    for kind, token in tokens.items():
        answer = await stack.user_with_token(token).request("GET", path)
        assert answer.status_code == 401, kind
        assert answer.json()["error"]["type"] == "authentication_error"
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert token not in answer.text
    assert (await stack.fetch(f"/v1{path}")).status_code == 401
    for authorization in ("Bearer", "Basic YWRhOmFkYQ==", stack.token(name)):
        headers = {"authorization": authorization}
        assert (await stack.fetch(f"/v1{path}", headers=headers)).status_code == 401


async def test_a_token_printed_by_parley_token_is_accepted(stack: Stack) -> None:
    printed = await stack.stdout_of("token", "--user", "grace")
    session = await stack.user_with_token(printed.strip()).start_session()
    assert (await stack.user("grace").get(f"/sessions/{session}"))["id"] == session
