"""What the routes use, put together when the process starts."""

from parley_gateway.authentication import Authenticator
from parley_gateway.own_writes import OwnWrites
from parley_gateway.peers import Peers
from parley_gateway.stored_pages import StoredPages
from parley_gateway.stream_tickets import StreamTickets
from parley_gateway.verified_tokens import VerifiedTokens


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
