"""What the routes use, put together when the process starts."""

from collections.abc import Awaitable, Callable, Sequence

from parley_session.application.assistants.administration import Administering
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.sessions.delete_session import Erasing
from parley_session.application.sessions.fork_session import Forking
from parley_session.application.sessions.import_messages import Importing
from parley_session.application.sessions.record_completion import Completions
from parley_session.application.sessions.session_queries import Sessions
from parley_session.application.sessions.start_session import Starting
from parley_session.application.sessions.update_session import Changing
from parley_session.application.turns.submit_message import Asking
from parley_session.application.turns.turn_lifecycle import Running
from parley_session.storage.event_store import EventStore
from parley_session.storage.search_keys import SearchKeys
from parley_session.storage.session_index import SessionRows
from parley_session.storage.turn_store import TurnStore


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
