"""Waits until a person's committed changes are projected: lists must have what the person wrote."""

from parley_core.auth.caller import Caller
from parley_core.http.errors import Unavailable
from parley_history.change_feed.projection_wait import ProjectionWaiter
from parley_history.session_service.client import SessionClient


class CommittedVersions:
    def __init__(self, session_client: SessionClient, projection: ProjectionWaiter) -> None:
        self._session_client, self._projection = session_client, projection

    async def are_projected(self, caller: Caller) -> bool:
        """Wait for the caller's sessions that changed last; False when some are not projected.

        A session with a parked record is left out: it waits for an operator. Raises Unavailable
        without the session service.
        """
        versions = await self._session_client.latest_versions(caller)
        return await self._projection.wait_for_all(versions, caller.principal)


def sessions_behind() -> Unavailable:
    return Unavailable(
        "The latest changes of your sessions are not projected yet. Please retry.",
        code="projection_behind",
    )
