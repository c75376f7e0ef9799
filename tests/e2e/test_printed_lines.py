"""What `parley up` prints is pasted into a shell, and a reply comes."""

import asyncio
import shutil

import pytest
from stack.parley import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines are made for curl")
async def test_the_lines_to_paste_stream_a_reply(stack: Stack) -> None:
    # They end with an empty line; what `up` tells later follows.
    _, _, printed = stack.output.read_text().partition("\nTOKEN=")
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
