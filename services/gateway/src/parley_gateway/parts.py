"""What the routes use, put together when the process starts."""

from parley_gateway.authentication import Authenticator
from parley_gateway.peers import Peers


class Parts:
    authenticate: Authenticator
    peers: Peers
