"""Views over the events of an export, in DuckDB's SQL.

`sessions`, `messages` and `usage` say what the read model says: tests hold them against the fold
of the history service, which is the definition. Each event type has a view of its own, named after
it (`reply_completed`), with the columns of the export; that of an unknown type has its full name.
"""

from collections.abc import Sequence

from parley_events.asyncapi.streams import STREAMS
from parley_events.session import DATA_BY_TYPE


def view_name(event_type: str) -> str:
    """`reply_completed` for `parley.session.reply_completed.v1`; later versions keep theirs.

    An unknown type keeps its full name, which is no name of another view.
    """
    if event_type not in EVENT_TYPES:
        return event_type
    _, _, name, version = event_type.split(".")
    return name if version == "v1" else f"{name}_{version}"


def event_view(event_type: str, relation: str, condition: str) -> str:
    return f'CREATE VIEW "{view_name(event_type)}" AS SELECT * FROM "{relation}" WHERE {condition}'


def events_view(unknown_types: Sequence[str]) -> str:
    """All events of sessions; the actor of an unknown type is null."""
    known = (_events(each, "actor, request_id") for each in DATA_BY_TYPE)
    unknown = (_events(each, "NULL, NULL") for each in unknown_types)
    return "CREATE VIEW events AS " + " UNION ALL ".join([*known, *unknown])


def _events(event_type: str, cause: str) -> str:
    return (
        f"SELECT '{event_type}' AS type, id, session_id, sequence, time, log_partition, "
        f'log_offset, traceparent, {cause} FROM "{view_name(event_type)}"'
    )


# The texts of opened content; sealed content is null.
TEXT_MACRO = """
CREATE MACRO text_of(content) AS
    CASE WHEN content LIKE '{%' THEN json_extract_string(content, '$.text') END
"""

TURNS = """
CREATE VIEW turns AS
WITH ends AS (
    SELECT turn_id, 'completed' AS status, time, sequence, usage, price, finish_reason,
        first_token_ms, total_ms, NULL AS error_code, NULL AS cancelled_by
    FROM reply_completed
    UNION ALL
    SELECT turn_id, 'failed', time, sequence, usage, price, NULL, NULL, NULL, code, NULL
    FROM reply_failed
    UNION ALL
    SELECT turn_id, 'cancelled', time, sequence, usage, price, NULL, NULL, NULL, NULL,
        cancelled_by['user']
    FROM reply_cancelled
), cancels AS (
    SELECT turn_id, min(time) AS time FROM cancel_requested GROUP BY turn_id
)
SELECT requested.turn_id AS id, requested.session_id, started.tenant, started.owner,
    started.assistant_id, requested.assistant_version, requested.model,
    requested.parent_message_id AS message_id, requested.reply_id,
    coalesce(ends.status, CASE WHEN erased.session_id IS NULL THEN 'open' ELSE 'erased' END)
        AS status,
    requested.time AS requested_at, ends.time AS ended_at, cancels.time AS cancel_requested_at,
    ends.first_token_ms, ends.total_ms, ends.finish_reason, ends.error_code, ends.cancelled_by,
    ends.usage.prompt_tokens AS prompt_tokens, ends.usage.completion_tokens AS completion_tokens,
    ends.usage.estimated AS tokens_estimated, ends.price.currency AS price_currency,
    ends.price.prompt AS price_prompt, ends.price.completion AS price_completion
FROM reply_requested AS requested
LEFT JOIN session_started AS started USING (session_id)
LEFT JOIN ends USING (turn_id)
LEFT JOIN cancels USING (turn_id)
LEFT JOIN session_erased AS erased ON erased.session_id = requested.session_id
"""

# Includes erased sessions, which `messages` leaves out, as the read model does.
ALL_MESSAGES = """
CREATE VIEW all_messages AS
WITH links AS (
    SELECT session_id, parent_message_id AS message_id, arg_min(turn_id, sequence) AS turn_id
    FROM reply_requested GROUP BY ALL
), requests AS (
    SELECT turn_id, session_id, parent_message_id, sequence FROM reply_requested
), added AS (
    SELECT session_id, sequence AS version, message_id AS id, id AS event_id, NULL AS turn_id,
        parent_message_id AS parent_id, 'user' AS role, 'completed' AS status,
        time AS created_at, content, NULL::TIMESTAMPTZ AS original_time, NULL AS model,
        NULL AS finish_reason, NULL AS usage, NULL AS error_code, NULL AS price,
        NULL AS error_details
    FROM message_submitted
    UNION ALL
    SELECT session_id, sequence, message_id, id, NULL, parent_message_id, role,
        coalesce(status, 'completed'), time, content, original_time, model, finish_reason, usage,
        error_code, NULL, NULL
    FROM message_imported
    UNION ALL
    SELECT ended.session_id, ended.sequence, reply_id, id, ended.turn_id,
        requests.parent_message_id, 'assistant', 'completed', time, content, NULL, model,
        finish_reason, usage, NULL, price, NULL
    FROM reply_completed AS ended LEFT JOIN requests USING (turn_id)
    UNION ALL
    SELECT ended.session_id, ended.sequence, reply_id, id, ended.turn_id,
        requests.parent_message_id, 'assistant', 'failed', time, partial_content, NULL, model,
        NULL, usage, code, price, details
    FROM reply_failed AS ended LEFT JOIN requests USING (turn_id)
    UNION ALL
    SELECT ended.session_id, ended.sequence, reply_id, id, ended.turn_id,
        requests.parent_message_id, 'assistant', 'cancelled', time, partial_content, NULL, model,
        NULL, usage, NULL, price, NULL
    FROM reply_cancelled AS ended LEFT JOIN requests USING (turn_id)
)
SELECT added.session_id, version, added.id, event_id,
    coalesce(added.turn_id, links.turn_id) AS turn_id, parent_id, role, status, created_at,
    content, text_of(content) AS text, original_time, model, finish_reason,
    usage.prompt_tokens AS prompt_tokens, usage.completion_tokens AS completion_tokens,
    usage.estimated AS tokens_estimated, error_code, price.currency AS price_currency,
    price.prompt AS price_prompt, price.completion AS price_completion, error_details
FROM added LEFT JOIN links ON links.session_id = added.session_id AND links.message_id = added.id
"""

MESSAGES = """
CREATE VIEW messages AS
SELECT * FROM all_messages ANTI JOIN session_erased USING (session_id)
"""

SESSIONS = """
CREATE VIEW sessions AS
WITH last_events AS (
    SELECT session_id, max(sequence) AS version, arg_max(id, sequence) AS last_event_id,
        arg_max(time, sequence) AS updated_at
    FROM events GROUP BY session_id
), titles AS (
    SELECT session_id, arg_max(row(title, id), sequence) AS last FROM (
        SELECT session_id, title, id, sequence FROM session_started
        UNION ALL SELECT session_id, title, id, sequence FROM session_renamed
    ) GROUP BY session_id
), metadata AS (
    SELECT session_id, arg_max(row(metadata, id), sequence) AS last FROM (
        SELECT session_id, metadata, id, sequence FROM session_started
        UNION ALL SELECT session_id, metadata, id, sequence FROM session_metadata_changed
    ) GROUP BY session_id
), marks AS (
    SELECT session_id, coalesce(arg_max(archived, sequence), false) AS archived,
        coalesce(arg_max(deleted, sequence), false) AS deleted,
        coalesce(arg_max(held, sequence), false) AS held
    FROM (
        SELECT session_id, sequence, true AS archived, NULL AS deleted, NULL AS held
        FROM session_archived
        UNION ALL SELECT session_id, sequence, false, NULL, NULL FROM session_unarchived
        UNION ALL SELECT session_id, sequence, NULL, true, NULL FROM session_deleted
        UNION ALL SELECT session_id, sequence, NULL, false, NULL FROM session_restored
        UNION ALL SELECT session_id, sequence, NULL, NULL, true FROM legal_hold_placed
        UNION ALL SELECT session_id, sequence, NULL, NULL, false FROM legal_hold_lifted
    ) GROUP BY session_id
), open_turns AS (
    SELECT session_id, arg_max(turn_id, sequence) AS turn_id,
        arg_max(parent_message_id, sequence) AS message_id
    FROM reply_requested ANTI JOIN (
        SELECT turn_id FROM reply_completed UNION ALL SELECT turn_id FROM reply_failed
        UNION ALL SELECT turn_id FROM reply_cancelled
    ) AS ended USING (turn_id) GROUP BY session_id
), leaves AS (
    SELECT session_id, arg_max(id, version) AS leaf_message_id,
        bool_and(parent_id IS NOT DISTINCT FROM previous_id) AS linear
    FROM (
        SELECT session_id, id, version, parent_id,
            lag(id) OVER (PARTITION BY session_id ORDER BY version) AS previous_id
        FROM all_messages
    ) GROUP BY session_id
), started AS (
    SELECT session_id, tenant, owner, assistant_id, assistant_version, time, expires_at,
        forked_from, NULL::TIMESTAMPTZ AS erased_at
    FROM session_started
    UNION ALL
    SELECT session_id, tenant, owner, '', 0, time, NULL, NULL, time FROM completion_served
), erased AS (
    SELECT session_id, min(time) AS time FROM session_erased GROUP BY session_id
)
SELECT session_id AS id, tenant, owner, assistant_id, assistant_version, last_events.version,
    last_event_id, started.time AS created_at, updated_at,
    CASE WHEN erased.time IS NULL THEN titles.last[1] END AS title,
    CASE WHEN erased.time IS NULL AND titles.last[1] IS NOT NULL THEN titles.last[2] END
        AS title_event_id,
    CASE WHEN erased.time IS NULL THEN metadata.last[1] END AS metadata,
    CASE WHEN erased.time IS NULL AND metadata.last[1] IS NOT NULL THEN metadata.last[2] END
        AS metadata_event_id,
    CASE WHEN erased.time IS NULL THEN open_turns.turn_id END AS open_turn_id,
    CASE WHEN erased.time IS NULL THEN open_turns.message_id END AS open_turn_message_id,
    CASE WHEN erased.time IS NULL THEN leaf_message_id END AS leaf_message_id,
    coalesce(linear, true) AS linear, coalesce(archived, false) AS archived,
    coalesce(deleted, false) AS deleted, coalesce(held, false) AS held,
    coalesce(erased.time, started.erased_at) AS erased_at, expires_at,
    forked_from.session_id AS forked_from_session_id,
    forked_from.message_id AS forked_from_message_id
FROM started
JOIN last_events USING (session_id)
LEFT JOIN titles USING (session_id)
LEFT JOIN metadata USING (session_id)
LEFT JOIN marks USING (session_id)
LEFT JOIN open_turns USING (session_id)
LEFT JOIN leaves USING (session_id)
LEFT JOIN erased USING (session_id)
"""

USAGE = """
CREATE VIEW usage AS
WITH used AS (
    SELECT session_id, time, model, usage, price, 1 AS replies FROM reply_completed
    UNION ALL SELECT session_id, time, model, usage, price, 1 FROM reply_failed
    UNION ALL SELECT session_id, time, model, usage, price, 1 FROM reply_cancelled
    UNION ALL SELECT session_id, time, model, usage, price, 1 FROM completion_served
    UNION ALL SELECT session_id, time, coalesce(model, ''), usage, price, 0 FROM session_renamed
    UNION ALL SELECT session_id, time, model, usage, price, 0 FROM context_compacted
), owners AS (
    SELECT session_id, tenant, owner, assistant_id FROM session_started
    UNION ALL SELECT session_id, tenant, owner, NULL FROM completion_served
)
SELECT session_id, time::DATE AS day, model, price.currency AS currency,
    any_value(tenant) AS tenant, any_value(owner) AS owner, any_value(assistant_id) AS assistant_id,
    sum(replies)::BIGINT AS replies, sum(usage.prompt_tokens)::BIGINT AS prompt_tokens,
    sum(usage.completion_tokens)::BIGINT AS completion_tokens,
    coalesce(sum(usage.prompt_tokens + usage.completion_tokens) FILTER (usage.estimated), 0)::BIGINT
        AS estimated_tokens,
    coalesce(sum(usage.prompt_tokens::HUGEINT * price.prompt
        + usage.completion_tokens::HUGEINT * price.completion), 0)::HUGEINT AS cost
FROM used JOIN owners USING (session_id)
WHERE usage IS NOT NULL
GROUP BY ALL
"""

VIEWS = (TEXT_MACRO, TURNS, ALL_MESSAGES, MESSAGES, SESSIONS, USAGE)
READY_VIEWS = ("sessions", "messages", "turns", "usage", "events")
EVENT_TYPES = tuple(each for stream in STREAMS for each in stream.data_by_type)
