"""What the routes use, put together when the process starts."""

from parley_gateway.auth.authenticator import Authenticator
from parley_gateway.auth.stream_tickets import StreamTickets
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.history.page_cache import PageCache
from parley_gateway.history.recent_writes import RecentWrites
from parley_gateway.http.upstreams import Upstreams


class Parts:
    authenticate: Authenticator
    peers: Upstreams

    def __init__(
        self,
        pages: PageCache,
        writes: RecentWrites,
        verified: VerifiedTokenCache,
        tickets: StreamTickets,
    ) -> None:
        self.pages, self.writes, self.verified, self.tickets = pages, writes, verified, tickets
