"""`parley api-keys` sends what was given to the gateway, and shows what it has."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from parley_cli.__main__ import main

CREATE = ["api-keys", "create", "--user", "ada", "--name", "a script"]


class Gateway(HTTPServer):
    """Has one API key, and keeps what it receives."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.received: list[dict[str, Any]] = []
        self.limits: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.received.append(body)
        self._respond(201, {"key": "pk_secret"})

    def do_GET(self) -> None:
        key: dict[str, Any] = {"id": "1", "name": "a script", "scopes": [], "models": None}
        key |= {"expires_at": None, "last_used_on": None, "limits": self.server.limits}
        self._respond(200, {"data": [key]})

    def _respond(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    for name in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path))
    monkeypatch.setenv("PARLEY_JWT_SECRET", "s" * 32)
    with Gateway() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_key_is_created_with_its_limits(gateway: Gateway) -> None:
    limits = ["--limit", "requests_per_minute=60", "--limit", "cost_per_day=2000000"]
    assert main([*CREATE, *limits, "--url", gateway.url]) == 0
    assert main([*CREATE, "--url", gateway.url]) == 0
    assert [each.get("limits") for each in gateway.received] == [
        {"requests_per_minute": 60, "cost_per_day": 2_000_000},
        None,
    ]


def test_a_limit_that_is_given_twice_creates_no_key(gateway: Gateway) -> None:
    limits = ["--limit", "requests_per_minute=60", "--limit", "requests_per_minute=6"]
    assert main([*CREATE, *limits, "--url", gateway.url]) == 1
    assert gateway.received == []


@pytest.mark.parametrize(
    ("limits", "shown"),
    [({"open_turns": 2, "turns_per_minute": 9}, "open_turns=2 turns_per_minute=9"), ({}, "user's")],
)
def test_the_list_shows_the_limits_of_a_key(
    gateway: Gateway, limits: dict[str, int], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.limits = limits
    assert main(["api-keys", "list", "--user", "ada", "--url", gateway.url]) == 0
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(
    "limit", ["60", "requests=60", "open_turns", "open_turns=", "open_turns=-1"]
)
def test_a_limit_that_is_not_a_name_and_a_number_is_rejected(limit: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*CREATE, "--limit", limit])


@pytest.mark.parametrize("days", ["0", "-1", "nan", "1e12", "soon"])
def test_a_number_of_days_that_is_no_time_is_a_usage_error(
    days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*CREATE, "--days", days])
    assert "--days: expected a number of days" in capsys.readouterr().err
