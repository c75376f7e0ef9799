"""History: read, imported into, searched, exported, and what it cost."""

from parley_gateway.api.openapi.operations.operation import (
    EVERY,
    FROM_HISTORY,
    KEYED,
    OF_A_SESSION,
    SENT,
    Operation,
)
from parley_gateway.schemas.queries import ExportQuery, HistoryQuery, UsageQuery
from parley_gateway.schemas.requests import ImportMessages, Search
from parley_gateway.schemas.responses import (
    Export,
    HistoryImport,
    MessageList,
    SearchResults,
    SessionExport,
    UsageReport,
)

MARKDOWN = "text/markdown"
_STREAMED = {503: (*FROM_HISTORY[503], "gateway_busy")}

HISTORY = (
    Operation(
        "get",
        "/v1/history/{session_id}",
        "readHistory",
        "Read the messages of a session",
        {200: MessageList, 304: None},
        (EVERY, OF_A_SESSION, FROM_HISTORY),
        query=HistoryQuery,
        description="The current branch, unless another is asked for. History follows what was "
        "committed within moments; whoever just wrote reads what they wrote. `version` says how "
        "far it is, and `min_version` waits for it.",
        conditional=True,
    ),
    Operation(
        "post",
        "/v1/history/{session_id}",
        "importMessages",
        "Import records of what was said elsewhere",
        {200: HistoryImport},
        (
            EVERY,
            SENT,
            KEYED,
            OF_A_SESSION,
            {
                409: ("turn_open", "session_full", "message_id_conflict"),
                413: ("message_too_large", "session_too_large", "body_too_large"),
            },
        ),
        body=ImportMessages,
        description="All of them or none, in at most 4 MiB. What is there already is skipped: the "
        "same records again change nothing.",
    ),
    Operation(
        "post",
        "/v1/search",
        "search",
        "Search one's own messages",
        {200: SearchResults},
        (EVERY, SENT, KEYED, FROM_HISTORY),
        body=Search,
        description="Newest first.",
    ),
    Operation(
        "get",
        "/v1/sessions/{session_id}/export",
        "exportSession",
        "Export a session",
        {200: SessionExport},
        (EVERY, OF_A_SESSION, _STREAMED),
        query=ExportQuery,
        description="JSON has every branch, Markdown the current one.",
        streams=(MARKDOWN,),
    ),
    Operation(
        "get",
        "/v1/export",
        "exportAll",
        "Export all of one's sessions",
        {200: Export},
        (EVERY, _STREAMED),
        query=ExportQuery,
        description="Streamed, of any size; one that broke off has no end.",
        streams=(MARKDOWN,),
    ),
    Operation(
        "get",
        "/v1/usage",
        "readUsage",
        "Read what replies used and cost",
        {200: UsageReport},
        (EVERY, {403: ("forbidden",)}, FROM_HISTORY),
        query=UsageQuery,
        description="Of the caller, by days in UTC. A reply is counted within moments of its end, "
        "and stays counted when its session is erased. Costs are those of the time of the reply.",
    ),
)
