"""What the routes use, put together when the process starts."""

from collections.abc import Awaitable, Callable, Sequence

from parley_session.administering import Administering
from parley_session.asking import Asking
from parley_session.catalogue import Catalogue
from parley_session.changing import Changing
from parley_session.completions import Completions
from parley_session.erasing import Erasing
from parley_session.event_store import EventStore
from parley_session.forking import Forking
from parley_session.importing import Importing
from parley_session.running import Running
from parley_session.search_keys import SearchKeys
from parley_session.session_rows import SessionRows
from parley_session.sessions import Sessions
from parley_session.starting import Starting
from parley_session.turn_store import TurnStore


class Parts:
    sessions: Sessions
    asking: Asking
    starting: Starting
    changing: Changing
    forking: Forking
    importing: Importing
    erasing: Erasing
    running: Running
    completions: Completions
    catalogue: Catalogue
    administering: Administering
    store: EventStore
    turns: TurnStore
    rows: SessionRows
    search_keys: SearchKeys
    ready: Callable[[], Awaitable[Sequence[str]]]
    refresh_metrics: Callable[[], Awaitable[None]]
