"""A branch is the chain of parents of its leaf: every page of it is a slice of that chain."""

import random
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from uuid import UUID, uuid4

import pytest
from history_peers.poison import poisoned
from history_peers.read_model import project
from history_peers.stories import ADA, Story

from parley_core.storage.postgres_pool import open_pool
from parley_events.session import (
    MessageImported,
    MessageSubmitted,
    ReplyCompleted,
    ReplyRequested,
)
from parley_history.domain.discarded_record import record_digest
from parley_history.queries.messages.page_repository import PageRepository
from parley_history.queries.messages.page_request import PageRequest


@dataclass(frozen=True)
class Node:
    id: UUID
    parent: UUID | None
    version: int
    time: datetime


def nodes_of(story: Story) -> list[Node]:
    """The messages, read from the events alone."""
    asked = {e.data.turn_id: e.data for e in story.events if isinstance(e.data, ReplyRequested)}
    nodes = []
    for event in story.events:
        match event.data:
            case MessageSubmitted(message_id=id, parent_message_id=parent):
                nodes.append(Node(id, parent, event.sequence, event.time))
            case MessageImported(message_id=id, parent_message_id=parent):
                nodes.append(Node(id, parent, event.sequence, event.time))
            case ReplyCompleted(reply_id=id, turn_id=turn_id):
                parent = asked[turn_id].parent_message_id
                nodes.append(Node(id, parent, event.sequence, event.time))
    return nodes


def listed(nodes: list[Node], asked: PageRequest) -> list[UUID] | None:
    """The whole list that is asked for, oldest first; None where there is no such leaf."""
    match asked.as_of:
        case datetime() as instant:
            nodes = [node for node in nodes if node.time <= instant]
        case int() as version:
            nodes = [node for node in nodes if node.version <= version]
    if asked.all_branches:
        return [node.id for node in nodes]
    by_id = {node.id: node for node in nodes}
    if asked.leaf and asked.leaf not in by_id:
        return None
    at = asked.leaf or (nodes[-1].id if nodes else None)
    chain = []
    while at is not None:
        chain.insert(0, at)
        at = by_id[at].parent
    return chain


def sliced(whole: list[UUID], asked: PageRequest) -> tuple[list[UUID], bool]:
    """The page of the list, and whether there are more in its direction."""
    if asked.newest_first:
        whole = whole[::-1]
    if asked.before:
        rest = whole[: whole.index(asked.before)]
        return rest[-asked.limit :], len(rest) > asked.limit
    rest = whole[whole.index(asked.after) + 1 :] if asked.after else whole
    return rest[: asked.limit], len(rest) > asked.limit


def grown(chance: random.Random) -> Story:
    """A session in which messages follow, or are said again, or answered again, as it comes."""
    story, questions, everything = Story(), [], []
    branches = chance.choice((0, 0.4, 0.8))
    for _ in range(chance.randint(1, 9)):
        astray = everything and chance.random() < branches
        after = chance.choice([None, *everything]) if astray else story.leaf
        match chance.choice("siq"):
            case "s":
                questions.append(story.says("?", after=after))
                everything += [questions[-1], story.hears("!")]
            case "i":
                everything.append(story.imports(".", "system", after=after))
            case "q" if astray and questions:
                story.asks_again(chance.choice(questions))
                everything.append(story.hears("!!"))
            case _:
                story.does_something_new()
    return story


@pytest.fixture
async def pages(tables):
    async with open_pool(
        tables.dsn, max_connections=1, timeout_seconds=5, application_name="test"
    ) as pool:
        yield PageRepository(pool)


def requests(nodes: list[Node], chance: random.Random) -> list[PageRequest]:
    """Lists to ask for: of each leaf, and as it was at every message, and between them."""
    moments = [None]
    for node in nodes:
        moments += [node.version, node.version - 1 or None, node.time]
    selected = [
        PageRequest(as_of=as_of, leaf=leaf, all_branches=everything and leaf is None)
        for as_of, leaf, everything in product(
            moments, [None, *(node.id for node in nodes)], (False, True)
        )
    ]
    return [PageRequest(), *chance.sample(selected, min(8, len(selected)))]


async def test_every_page_in_both_directions_is_a_slice_of_the_chain(read_model, pages):
    chance = random.Random(5)
    for story in [grown(chance) for _ in range(12)]:
        await project(read_model, story.records)
        await every_page_is_a_slice(story, pages, chance)


async def every_page_is_a_slice(story, pages, chance):
    nodes = nodes_of(story)
    for asked in requests(nodes, chance):
        whole = listed(nodes, asked)
        if whole is None:
            assert not (await pages.read(story.id, ADA, asked)).leaf_known
            continue
        ids = [node.id for node in nodes]
        cursors = [{}, *({"after": id} for id in ids), *({"before": id} for id in ids)]
        for cursor, order in product(cursors, ("asc", "desc")):
            limit = chance.choice((1, 2, 3, 100))
            request = replace(asked, order=order, limit=limit, **cursor)
            page = await pages.read(story.id, ADA, request)
            if request.cursor and request.cursor not in whole:
                assert not page.cursor_known, request
                continue
            assert ([m.id for m in page.messages], page.has_more) == sliced(whole, request), request
            assert page.version == story.version


async def test_where_the_record_of_a_parent_was_discarded_the_branch_goes_on(
    read_model, pages, tables
):
    story = Story()
    story.says("first")
    story.hears("lost")
    story.says("second")
    lost = poisoned(story.records[3])
    await tables.connection.execute(
        "INSERT INTO discarded_records VALUES ($1, 0, 0, $2, 'error', 'why', '', '[]', '')",
        record_digest(lost),
        story.id,
    )
    await project(read_model, [*story.records[:3], lost, *story.records[4:]])
    first, _, second = (node.id for node in nodes_of(story))
    page = await pages.read(story.id, ADA, PageRequest())
    assert [message.id for message in page.messages] == [second, first]


async def test_the_newest_message_is_the_leaf_and_what_it_left_is_another_branch(history, told):
    story = Story()
    first = story.says("first")
    answer = story.hears("answer")
    story.says("second")
    left = story.hears("more")
    story.says("second, otherwise", after=answer)
    story.hears("more, otherwise")
    story.asks_again(first)
    await told(story)
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


async def test_a_cursor_or_a_leaf_that_is_not_there_is_refused(history, told):
    story = Story()
    story.says("first")
    answer = story.hears("answer")
    other = story.says("second")
    story.says("otherwise", after=answer)
    await told(story)
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
