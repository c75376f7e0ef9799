"""The commands that `parley up` prints and the documents contain work as they are."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from e2e_support.stack import Stack
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the commands use curl")


def printed_commands(stack: Stack, before: str) -> str:
    """The lines between the empty one after `before` and the next empty one."""
    _, _, printed = stack.console.read_text().partition(f"\n{before}\n\n")
    return printed.partition("\n\n")[0]


def code_block(document: str, language: str, word: str) -> str:
    """The one code block of a document in that language that contains the word."""
    pattern = rf"^```{language}\n(.*?)^```"
    blocks = re.findall(pattern, (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)
    [block] = [block for block in blocks if word in block]
    return str(block)


async def run_in_shell(script: str, stdin: str = "", **variables: str) -> str:
    """The output of a script for bash, in which no setting of a stack is exported."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("PARLEY_", "OPENAI_"))}
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"set -e -o pipefail\n{script}"),
        env=environment | variables,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, _ = await shell.communicate(stdin.encode())
    assert shell.returncode == 0, output
    return output.decode()


@needs_curl
async def test_the_printed_curl_commands_stream_a_reply(stack: Stack) -> None:
    events = await run_in_shell(printed_commands(stack, "Or with curl, as the user `you`:"))
    assert '"type":"turn.started"' in events
    assert "Answer to: Hello! My name is Ada." in events
    assert '"type":"reply.completed"' in events


async def test_the_printed_chat_command_finds_a_stack_with_its_own_data_folder_and_secret(
    stack: Stack,
) -> None:
    command = printed_commands(stack, "Chat in another terminal:")
    assert command.startswith(f"PARLEY_DATA={stack.data} ")
    python = command.replace("python -m", f"{sys.executable} -m")
    assert "Answer to: Hi there" in await run_in_shell(python, stdin="Hi there\n")


@needs_curl
@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("README.md", ["api()"]),
        ("docs/getting-started.md", ["api()", "SESSION=$(api", "What is my name", "api /history"]),
    ],
)
async def test_the_requests_of_a_document_are_answered(
    stack: Stack, document: str, words: list[str]
) -> None:
    script = "".join(code_block(document, "sh", word) for word in words)
    script = re.sub(r"http://(localhost|127\.0\.0\.1):8080", stack.url, script)
    script = script.replace(".venv/bin/parley", f"{sys.executable} -m parley_cli")
    # A recent message may not be indexed yet, but every request must be accepted.
    output = await run_in_shell(
        script, PARLEY_DATA=str(stack.data), PARLEY_JWT_SECRET=stack.jwt_secret
    )
    assert '"type":"reply.completed"' in output
    assert '"error"' not in output


async def test_the_consumer_of_the_event_guide_prints_the_events(
    stack: Stack, ada: User, tmp_path: Path
) -> None:
    session = await ada.start_session()
    await ada.send(session, "Hello")
    program = tmp_path / "follow.py"
    program.write_text(code_block("docs/events.md", "python", "AIOKafkaConsumer"))
    consumer = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), stack.address("kafka"), stack.secret("kafka-password")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert consumer.stdout is not None
    types: list[str] = []
    try:
        async with asyncio.timeout(60):
            while "parley.session.reply_completed.v1" not in types:
                line = (await consumer.stdout.readline()).decode()
                assert line, "the program ended"
                if line.startswith(session):
                    types.append(line.split()[2])
    finally:
        consumer.kill()
        await consumer.wait()
    assert types[0] == "parley.session.session_started.v1"
