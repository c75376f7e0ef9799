"""A branch is the chain of its leaf's ancestors; every page of it is a slice of that chain."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from history_testing.fixtures import ProjectStory
from history_testing.history import HistoryClient
from history_testing.poison import poisoned
from history_testing.read_model import ReadModelTables, project
from history_testing.stories import ADA, Story

from parley_core.http.pagination import Order
from parley_core.storage.postgres_pool import open_pool
from parley_events.session import (
    MessageImported,
    MessageSubmitted,
    ReplyCompleted,
    ReplyRequested,
)
from parley_history.domain.discarded_record import record_digest
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.queries.messages.page_repository import PageRepository
from parley_history.queries.messages.page_request import PageRequest


@dataclass(frozen=True)
class Node:
    id: UUID
    parent: UUID | None
    version: int
    time: datetime


def nodes_of(story: Story) -> list[Node]:
    """Return the messages according to the events alone."""
    requested = {e.data.turn_id: e.data for e in story.events if isinstance(e.data, ReplyRequested)}
    nodes = []
    for event in story.events:
        match event.data:
            case MessageSubmitted(message_id=id, parent_message_id=parent):
                nodes.append(Node(id, parent, event.sequence, event.time))
            case MessageImported(message_id=id, parent_message_id=parent):
                nodes.append(Node(id, parent, event.sequence, event.time))
            case ReplyCompleted(reply_id=id, turn_id=turn_id):
                parent = requested[turn_id].parent_message_id
                nodes.append(Node(id, parent, event.sequence, event.time))
    return nodes


def expected_list(nodes: list[Node], request: PageRequest) -> list[UUID] | None:
    """Return the whole requested list, oldest first; None for an unknown leaf."""
    match request.as_of:
        case datetime() as instant:
            nodes = [node for node in nodes if node.time <= instant]
        case int() as version:
            nodes = [node for node in nodes if node.version <= version]
    if request.all_branches:
        return [node.id for node in nodes]
    by_id = {node.id: node for node in nodes}
    if request.leaf and request.leaf not in by_id:
        return None
    at = request.leaf or (nodes[-1].id if nodes else None)
    chain: list[UUID] = []
    while at is not None:
        chain.insert(0, at)
        at = by_id[at].parent
    return chain


def expected_page(whole: list[UUID], request: PageRequest) -> tuple[list[UUID], bool]:
    """Return the page of the list, and whether more messages follow in its direction."""
    if request.newest_first:
        whole = whole[::-1]
    if request.before:
        rest = whole[: whole.index(request.before)]
        return rest[-request.limit :], len(rest) > request.limit
    rest = whole[whole.index(request.after) + 1 :] if request.after else whole
    return rest[: request.limit], len(rest) > request.limit


def random_story(chance: random.Random) -> Story:
    """Return a session in which messages, edits and regenerated replies follow at random."""
    story = Story()
    questions: list[UUID] = []
    everything: list[UUID] = []
    branches = chance.choice((0, 0.4, 0.8))
    for _ in range(chance.randint(1, 9)):
        astray = everything and chance.random() < branches
        after = chance.choice([None, *everything]) if astray else story.leaf
        match chance.choice("siq"):
            case "s":
                questions.append(story.submit("?", after=after))
                everything += [questions[-1], story.reply("!")]
            case "i":
                everything.append(story.import_message(".", "system", after=after))
            case "q" if astray and questions:
                story.request_reply(chance.choice(questions))
                everything.append(story.reply("!!"))
            case _:
                story.add_unknown_event()
    return story


@pytest.fixture
async def pages(tables: ReadModelTables) -> AsyncIterator[Any]:
    async with open_pool(
        tables.dsn, max_connections=1, timeout_seconds=5, application_name="test"
    ) as pool:
        yield PageRepository(pool)


def requests(nodes: list[Node], chance: random.Random) -> list[PageRequest]:
    """Return requests for every leaf, as of the time of every message and between them."""
    moments: list[int | datetime | None] = [None]
    for node in nodes:
        moments += [node.version, node.version - 1 or None, node.time]
    selected = [
        PageRequest(as_of=as_of, leaf=leaf, all_branches=everything and leaf is None)
        for as_of, leaf, everything in product(
            moments, [None, *(node.id for node in nodes)], (False, True)
        )
    ]
    return [PageRequest(), *chance.sample(selected, min(8, len(selected)))]


async def test_every_page_in_both_directions_is_a_slice_of_the_chain(
    read_model: ActiveReadModel, pages: PageRepository
) -> None:
    chance = random.Random(5)
    for story in [random_story(chance) for _ in range(12)]:
        await project(read_model, story.records)
        await every_page_is_a_slice(story, pages, chance)


async def every_page_is_a_slice(story: Story, pages: PageRepository, chance: random.Random) -> None:
    nodes = nodes_of(story)
    for base in requests(nodes, chance):
        whole = expected_list(nodes, base)
        if whole is None:
            page = await pages.read(story.id, ADA, base)
            assert page is not None
            assert not page.leaf_known
            continue
        ids = [node.id for node in nodes]
        cursors: list[dict[str, Any]] = [
            {},
            *({"after": id} for id in ids),
            *({"before": id} for id in ids),
        ]
        orders: tuple[Order, Order] = ("asc", "desc")
        for cursor, order in product(cursors, orders):
            limit = chance.choice((1, 2, 3, 100))
            request = replace(base, order=order, limit=limit, **cursor)
            page = await pages.read(story.id, ADA, request)
            assert page is not None
            if request.cursor and request.cursor not in whole:
                assert not page.cursor_known, request
                continue
            assert ([m.id for m in page.messages], page.has_more) == expected_page(
                whole, request
            ), request
            assert page.version == story.version


async def test_a_branch_continues_past_a_discarded_parent(
    read_model: ActiveReadModel, pages: PageRepository, tables: ReadModelTables
) -> None:
    story = Story()
    story.submit("first")
    story.reply("lost")
    story.submit("second")
    lost = poisoned(story.records[3])
    await tables.connection.execute(
        "INSERT INTO discarded_records VALUES ($1, 0, 0, $2, 'error', 'why', '', '[]', '')",
        record_digest(lost),
        story.id,
    )
    await project(read_model, [*story.records[:3], lost, *story.records[4:]])
    first, _, second = (node.id for node in nodes_of(story))
    page = await pages.read(story.id, ADA, PageRequest())
    assert page is not None
    assert [message.id for message in page.messages] == [second, first]


async def test_the_newest_message_is_the_leaf_of_the_current_branch(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = Story()
    first = story.submit("first")
    answer = story.reply("answer")
    story.submit("second")
    left = story.reply("more")
    story.submit("second, otherwise", after=answer)
    story.reply("more, otherwise")
    story.request_reply(first)
    await project_story(story)
    assert (await history.read(story.id)).contents == [
        "more, otherwise",
        "second, otherwise",
        "answer",
        "first",
    ]
    assert (await history.read(story.id, leaf=left, order="asc")).contents == [
        "first",
        "answer",
        "second",
        "more",
    ]
    everything = await history.read(story.id, branches="all")
    assert everything.contents == [
        "more, otherwise",
        "second, otherwise",
        "more",
        "second",
        "answer",
        "first",
    ]
    parents = {m["content"]: m["parent_message_id"] for m in everything.json["data"]}
    assert parents["second, otherwise"] == parents["second"] == str(answer)
    assert (parents["answer"], parents["first"]) == (str(first), None)


async def test_an_unknown_cursor_or_leaf_is_rejected(
    history: HistoryClient, project_story: ProjectStory
) -> None:
    story = Story()
    story.submit("first")
    answer = story.reply("answer")
    other = story.submit("second")
    story.submit("otherwise", after=answer)
    await project_story(story)
    for query, param in (
        ({"after": other}, "after"),
        ({"before": other}, "before"),
        ({"leaf": uuid4()}, "leaf"),
        ({"leaf": other, "as_of": 4}, "leaf"),
        ({"after": other, "as_of": 4}, "after"),
        ({"leaf": answer, "before": other}, "before"),
        ({"leaf": answer, "branches": "all"}, "branches"),
    ):
        assert (await history.read(story.id, **query)).error == (400, "invalid_request", param)
    assert (await history.read(story.id, after=other, branches="all")).contents == [
        "answer",
        "first",
    ]
