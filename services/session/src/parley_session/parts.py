"""What the routes use, put together when the process starts."""

from collections.abc import Awaitable, Callable, Sequence

from parley_session.application.assistants.administration import AssistantAdministration
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.application.sessions.fork_session import SessionForker
from parley_session.application.sessions.import_messages import MessageImporter
from parley_session.application.sessions.record_completion import CompletionRecorder
from parley_session.application.sessions.session_queries import SessionQueries
from parley_session.application.sessions.start_session import SessionStarter
from parley_session.application.sessions.update_session import SessionUpdater
from parley_session.application.turns.submit_message import TurnCommands
from parley_session.application.turns.turn_lifecycle import TurnLifecycle
from parley_session.storage.event_store import EventStore
from parley_session.storage.search_keys import SearchKeys
from parley_session.storage.session_index import SessionIndex
from parley_session.storage.turn_store import TurnStore


class Parts:
    sessions: SessionQueries
    asking: TurnCommands
    starting: SessionStarter
    changing: SessionUpdater
    forking: SessionForker
    importing: MessageImporter
    erasing: SessionDeletion
    running: TurnLifecycle
    completions: CompletionRecorder
    catalogue: Catalogue
    administering: AssistantAdministration
    store: EventStore
    turns: TurnStore
    rows: SessionIndex
    search_keys: SearchKeys
    ready: Callable[[], Awaitable[Sequence[str]]]
    refresh_metrics: Callable[[], Awaitable[None]]
