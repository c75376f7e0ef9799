"""A history service that answers what a test says."""

from aiohttp import web

from gateway_peers.peer import Call, Peer, error


class History(Peer):
    name = "history"

    async def handle(self, request: web.Request, call: Call) -> web.StreamResponse:
        return error(404, "not_scripted")
