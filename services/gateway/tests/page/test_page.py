"""Chat page: what the gateway serves at `/`, its caching, coding and security headers."""

import gzip
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_fakes.gateway import Gateway

from parley_gateway.page.page_responses import best_coding

Start = Callable[..., Awaitable[Gateway]]
INDEX = b'<!doctype html><script type="module" src="/assets/index-4f1c.js"></script>'
SCRIPT = b"export {};" * 100


def build(folder: Path) -> None:
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "index-4f1c.js").write_bytes(SCRIPT)
    (folder / "assets" / "index-4f1c.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets" / "index-4f1c.js.map").write_bytes(b"{}")
    (folder / "index.html").write_bytes(INDEX)


@pytest.fixture
async def page(start: Start, tmp_path: Path) -> Gateway:
    build(tmp_path / "page")
    return await start(page_path=tmp_path / "page")


async def fetch(gateway: Gateway, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    async with gateway.request("GET", path, bearer="", **headers) as answer:
        names = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, await answer.read(), names


@pytest.mark.parametrize(
    "path", ["/", "/search", "/settings", "/s/0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e"]
)
async def test_every_client_route_is_answered_with_the_index(page: Gateway, path: str) -> None:
    status, body, headers = await fetch(page, path)
    assert (status, body) == (200, INDEX)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-cache"


async def test_the_index_is_not_sent_again_while_its_etag_is_current(page: Gateway) -> None:
    _, _, headers = await fetch(page, "/")
    status, body, _ = await fetch(page, "/", if_none_match=headers["etag"])
    assert (status, body) == (304, b"")


async def test_hashed_files_are_immutable_and_sent_compressed(page: Gateway) -> None:
    _, body, headers = await fetch(page, "/assets/index-4f1c.js", accept_encoding="gzip, br")
    assert body == SCRIPT  # Decoded by the client.
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "accept-encoding"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    _, _, plain = await fetch(page, "/assets/index-4f1c.js", accept_encoding="gzip;q=0")
    assert "content-encoding" not in plain
    assert plain["etag"] != headers["etag"]


@pytest.mark.parametrize("path", ["/assets/index-old.js", "/assets/index-4f1c.js.map", "/boot.js"])
async def test_an_unknown_file_is_a_404_and_not_the_index(page: Gateway, path: str) -> None:
    status, _, headers = await fetch(page, path)
    assert (status, headers["cache-control"]) == (404, "no-store")


@pytest.mark.parametrize("path", ["/nothing", "/s", "/s/a/b", "/v1/nothing", "/index.html"])
async def test_other_paths_stay_404s_of_the_api(page: Gateway, path: str) -> None:
    assert await page.expect_error("GET", path) == (404, "not_found", None)


async def test_the_page_may_run_only_its_own_scripts(page: Gateway) -> None:
    for path in ("/", "/assets/index-4f1c.js"):
        _, _, headers = await fetch(page, path)
        policy = dict(
            directive.split(" ", 1) for directive in headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"


async def test_a_page_that_is_built_later_is_served_from_then_on(
    start: Start, tmp_path: Path
) -> None:
    gateway = await start(page_path=tmp_path / "page")
    status, _, headers = await fetch(gateway, "/")
    assert status == 503
    assert re.fullmatch(r"\d+", headers["refresh"])
    build(tmp_path / "page")
    assert (await fetch(gateway, "/"))[:2] == (200, INDEX)


async def test_a_gateway_without_a_page_names_the_documentation(gateway: Gateway) -> None:
    status, body, _ = await fetch(gateway, "/")
    assert (status, b"/docs" in body) == (200, True)


async def test_the_configuration_needs_no_token(page: Gateway) -> None:
    status, config = await page.get("/v1/client-config", bearer="")
    assert status == 200
    assert config["max_message_bytes"] == 256 * 1024
    assert config["heartbeat_seconds"] > 0
    assert config["languages"] == ["en", "zh-Hans"]
    assert config["build"]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", "identity"),
        ("br, gzip", "br"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip, br;q=0", "gzip"),
        ("*", "br"),
        ("*;q=0", "identity"),
        ("br;q=nonsense", "identity"),
        ("deflate", "identity"),
    ],
)
def test_the_best_accepted_coding_is_chosen(accepted: Any, coding: Any) -> None:
    assert best_coding(accepted, ("identity", "br", "gzip")) == coding
