"""What the routes use, put together when the process starts."""

from parley_gateway.auth.authenticator import Authenticator
from parley_gateway.auth.stream_tickets import StreamTickets
from parley_gateway.auth.token_cache import VerifiedTokens
from parley_gateway.history.page_cache import StoredPages
from parley_gateway.history.recent_writes import OwnWrites
from parley_gateway.http.upstreams import Peers


class Parts:
    authenticate: Authenticator
    peers: Peers

    def __init__(
        self,
        pages: StoredPages,
        writes: OwnWrites,
        verified: VerifiedTokens,
        tickets: StreamTickets,
    ) -> None:
        self.pages, self.writes, self.verified, self.tickets = pages, writes, verified, tickets
