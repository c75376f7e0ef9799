"""What a client can discover: assistants, models, documentation, health."""

import pytest
from e2e_support.model_server import MODELS
from e2e_support.stack import Stack
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_three_assistants_are_built_in(ada: User) -> None:
    page = await ada.get("/assistants")
    assert page["object"] == "list"
    assert [assistant["id"] for assistant in page["data"]] == ["helper", "coder", "tutor"]
    assert [assistant["default"] for assistant in page["data"]] == [True, False, False]
    assert all(assistant["object"] == "assistant" for assistant in page["data"])
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("helper", "tutor", False)


async def test_the_instructions_of_an_assistant_are_hidden(ada: User) -> None:
    answer = await ada.request("GET", "/assistants")
    assert "You are Helper" not in answer.text


async def test_models_are_listed_in_the_openai_format(ada: User) -> None:
    page = await ada.get("/models")
    assert page["object"] == "list"
    assert [model["id"] for model in page["data"]] == [*MODELS]
    assert {model["object"] for model in page["data"]} == {"model"}


async def test_switching_to_an_assistant_returns_its_latest_session(ada: User) -> None:
    first = await ada.post("/switch-assistant", {"assistant_id": "coder"})
    assert first["object"] == "assistant_switch"
    assert (first["created"], first["messages"]) == (True, [])
    turn = await ada.send(first["session"]["id"], "Mend this")
    elsewhere = await ada.post("/switch-assistant", {"assistant_id": "tutor"})
    again = await ada.post("/switch-assistant", {"assistant_id": "coder"})

    assert elsewhere["session"]["id"] != first["session"]["id"]
    assert again["created"] is False
    assert again["session"]["id"] == first["session"]["id"]
    assert again["session"]["assistant_id"] == "coder"
    assert again["messages"] == [turn["message"], turn["reply"]]


async def test_the_api_serves_its_documentation(stack: Stack) -> None:
    page = await stack.fetch("/docs")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    document = (await stack.fetch("/openapi.json")).json()
    calls = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert calls >= {
        ("post", "/v1/sessions"),
        ("get", "/v1/sessions/{session_id}"),
        ("post", "/v1/sessions/{session_id}/messages"),
        ("get", "/v1/history/{session_id}"),
        ("get", "/v1/assistants"),
        ("post", "/v1/switch-assistant"),
        ("get", "/v1/models"),
    }


async def test_the_health_endpoints_answer(stack: Stack) -> None:
    assert (await stack.fetch("/livez")).json() == {"status": "ok"}
    assert (await stack.fetch("/readyz")).json() == {"status": "ok"}
    assert (await stack.fetch("/metrics")).status_code == 404


async def test_status_lists_every_process(stack: Stack) -> None:
    processes = await stack.status()
    assert set(processes) == {
        *("postgres", "kafka", "redis"),
        *("session", "inference", "history-serve", "history-project", "gateway"),
    }
    assert all(each["ready"] and each["pid"] and each["address"] for each in processes.values())
    assert processes["gateway"]["address"] == f"127.0.0.1:{stack.port}"
