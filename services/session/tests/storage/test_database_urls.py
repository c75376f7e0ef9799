"""A session service whose database URL is replaced while it runs."""

from typing import Any

import pytest

from parley_testing.eventually import eventually
from parley_testing.faulty_proxy import FaultyProxy

PENDING = "parley_session_outbox_pending_events"


@pytest.mark.usefixtures("frequent_measurements")
async def test_requests_and_background_tasks_use_a_replaced_url(
    serve: Any, runtime_database: str
) -> None:
    async with (
        FaultyProxy.to(runtime_database) as first,
        FaultyProxy.to(runtime_database) as second,
    ):
        session = await serve(database=first.database)
        await session.open_turn()
        database = session.settings.database
        database.replace(database.model_copy(update={"url": second.database}))
        first.close()

        async def is_answered() -> bool:
            return bool((await session.call("POST", "/sessions", {})).status == 201)

        await eventually(is_answered)
        await session.open_turn()

        async def are_counted() -> bool:
            """Three events of each turn, and one of each other session."""
            return bool((await session.metrics()).get(PENDING, 0) >= 2 * 3)

        await eventually(are_counted)
