"""What people typed is shown to who has the key and asks for it."""

import json

import pytest
from cli_peers.log import MORNING, Conversation, append, session_with_keys
from cli_peers.tailed import Log, Output

from parley_cli.engines import free_port
from parley_cli.log.tail.command import KeyHolder
from parley_cli.log.tail.filters import FilterOptions
from parley_cli.log.tail.unsealing import KeysUnavailable
from parley_core.auth.principal import InternalSecret
from parley_testing.peers import SECRET


async def test_content_is_opened_with_the_keys_that_session_gives(log: Log, capsys: Output) -> None:
    open_one = Conversation().said("Guten\nMorgen \x07").answered("Hi")
    erased, unknown = Conversation().said("gone"), Conversation().said("lost")
    foreign = Conversation().said("mine")
    await log.has(open_one, erased, unknown, foreign)
    keys = {open_one.id: open_one.key, erased.id: None, foreign.id: open_one.key}
    async with session_with_keys(keys) as url:
        holder = KeyHolder(url, InternalSecret.parse(SECRET))
        lines = await log.shown(keys=holder)
        events = [json.loads(line) for line in await log.shown(keys=holder, as_json=True)]
    assert "    content: Guten" in lines
    assert "      Morgen \\u0007" in lines
    assert "    content: Hi" in lines
    assert "    content: (erased)" in lines
    assert "    content: (no key: session does not know it)" in lines
    assert "    content: (cannot be opened)" in lines
    contents = [event["data"].get("content") for event in events]
    assert {"text": "Hi"} in contents
    assert {"hidden": "erased"} in contents


async def test_keys_of_many_sessions_are_asked_for_a_hundred_at_a_time(log: Log) -> None:
    talks = [Conversation().said(f"text {n}") for n in range(130)]
    await append(log.brokers, log.topic, [each for talk in talks for each in talk.records])
    async with session_with_keys({talk.id: talk.key for talk in talks}) as url:
        lines = await log.shown(
            FilterOptions(since=MORNING), keys=KeyHolder(url, InternalSecret.parse(SECRET))
        )
    assert {f"    content: text {n}" for n in range(130)} <= set(lines)


async def test_a_session_that_gives_no_keys_is_told(log: Log) -> None:
    await log.has(Conversation().said("Hello"))
    away = KeyHolder(f"http://127.0.0.1:{free_port()}", InternalSecret.parse(SECRET))
    with pytest.raises(KeysUnavailable, match="gives no keys to open the content with"):
        await log.shown(keys=away)
