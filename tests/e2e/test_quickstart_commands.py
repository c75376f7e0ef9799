"""The shell commands that `parley up` prints stream a reply."""

import asyncio
import shutil

import pytest
from e2e_support.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the commands use curl")
async def test_the_printed_commands_stream_a_reply(stack: Stack) -> None:
    # An empty line ends the commands; later output follows it.
    _, _, printed = stack.console.read_text().partition("\nTOKEN=")
    lines, _, _ = printed.partition("\n\n")
    shell = await asyncio.create_subprocess_exec(
        "sh", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await shell.communicate(f"TOKEN={lines}\n".encode())
    assert shell.returncode == 0
    events = output.decode()
    assert '"type":"turn.started"' in events
    assert "Answer to: Hello! My name is Ada." in events
    assert '"type":"reply.completed"' in events
