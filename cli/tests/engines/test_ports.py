"""Tests of free ports: two stacks that start at the same time must not choose the same port."""

import subprocess
import sys

import pytest

from parley_cli.engines import free_port, ports

SELECT_FORTY = """
from parley_cli.engines import free_port, ports
ports.PORT_RANGE = range(31_000, 31_100)
print(*(free_port() for _ in range(40)), flush=True)
input()
"""


def test_processes_never_select_the_same_port_even_before_they_listen() -> None:
    selecting = [
        subprocess.Popen(
            [sys.executable, "-c", SELECT_FORTY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        lines = [process.stdout.readline() for process in selecting if process.stdout]
    finally:
        for process in selecting:
            process.communicate("\n")
    assert len(set(" ".join(lines).split())) == 80


def test_a_process_never_selects_the_same_port_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORT_RANGE", range(31_100, 31_120))
    assert len({free_port() for _ in range(15)}) == 15
