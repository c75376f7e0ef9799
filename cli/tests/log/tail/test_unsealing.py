"""Message content in `parley log tail --content`, decrypted with keys from session."""

import json

import pytest
from cli_fakes.conversation import MORNING, FakeConversation, append, session_with_keys
from cli_fakes.tailed_log import Output, TailedLog

from parley_cli.engines import free_port
from parley_cli.log.tail.filters import FilterOptions
from parley_cli.log.tail.unsealing import KeysUnavailable
from parley_cli.service_commands.locations import SessionAccess
from parley_testing.peers import signing_key


async def test_content_is_decrypted_with_the_keys_of_the_session_service(
    log: TailedLog, capsys: Output
) -> None:
    readable = FakeConversation().submitted("Guten\nMorgen \x07").replied("Hi")
    erased, unknown = FakeConversation().submitted("gone"), FakeConversation().submitted("lost")
    foreign = FakeConversation().submitted("mine")
    await log.append(readable, erased, unknown, foreign)
    keys = {readable.id: readable.key, erased.id: None, foreign.id: readable.key}
    async with session_with_keys(keys) as url:
        access = SessionAccess(url, signing_key("cli"))
        lines = await log.lines(session=access)
        events = [json.loads(line) for line in await log.lines(session=access, as_json=True)]
    assert "    content: Guten" in lines
    assert "      Morgen \\u0007" in lines
    assert "    content: Hi" in lines
    assert "    content: (erased)" in lines
    assert "    content: (no key: unknown to the session service)" in lines
    assert "    content: (cannot be decrypted)" in lines
    contents = [event["data"].get("content") for event in events]
    assert {"text": "Hi"} in contents
    assert {"hidden": "erased"} in contents


async def test_keys_of_many_sessions_are_requested_a_hundred_at_a_time(log: TailedLog) -> None:
    conversations = [FakeConversation().submitted(f"text {n}") for n in range(130)]
    await append(
        log.brokers,
        log.topic,
        [each for conversation in conversations for each in conversation.records],
    )
    async with session_with_keys(
        {conversation.id: conversation.key for conversation in conversations}
    ) as url:
        lines = await log.lines(
            FilterOptions(since=MORNING), session=SessionAccess(url, signing_key("cli"))
        )
    assert {f"    content: text {n}" for n in range(130)} <= set(lines)


async def test_an_unreachable_session_service_is_reported(log: TailedLog) -> None:
    await log.append(FakeConversation().submitted("Hello"))
    access = SessionAccess(f"http://127.0.0.1:{free_port()}", signing_key("cli"))
    with pytest.raises(KeysUnavailable, match="returned no keys to decrypt the content"):
        await log.lines(session=access)
