"""Help epilogs of `parley log …` and `parley rebuild …`."""

LOCATIONS = """\
The log and the databases are those of the stack that runs on the data folder (PARLEY_DATA). To use
others, set PARLEY_KAFKA (with PARLEY_KAFKA_SECURITY_PROTOCOL and the like),
PARLEY_SESSION_DATABASE_URL and PARLEY_HISTORY_DATABASE_URL.
"""

LOG_EPILOGS = {
    "log": """\
`parley log COMMAND --help` explains a command.

examples:
  parley log tail -f
  parley log verify
  parley log dead-letters list
""",
    "rebuild": """\
`parley rebuild history --help` explains the command.

examples:
  parley rebuild history
""",
    "log tail": """\
Needs only Kafka: that of the stack that runs on the data folder (PARLEY_DATA), or the one at
PARLEY_KAFKA. Events are printed in order of their times; with --follow, in that order within each
batch read. TIME is an age such as 15m, 2h or 3d, or a date or time such as 2026-11-24T12:00:00Z
(UTC unless it has an offset). --user and --tenant read the log from its beginning, because only
the first event of a session names its owner.

Each line has the time (UTC), session, sequence, type, actor, details such as model, tokens and
finish reason, and PARTITION:OFFSET. On a terminal it is cut to the width: the session is the
beginning of its ID, which --session takes, too. Message content is encrypted in the log. --content
fetches the keys from the session service; unless the stack of the data folder runs, set
PARLEY_SIGNING_KEY (that of the command line) and PARLEY_SESSION_URL.

examples:
  parley log tail -f
  parley log tail --user ada --since 2h
  parley log tail --type reply_failed --limit 100
  parley log tail --session 0199c0de-0000-7000-8000-000000000001 --content
  parley log tail --from 3:1250 --limit 1 --json | jq .data
  parley log tail --since 1d --json | jq -r 'select(.data.usage) | .data.usage.completion_tokens'
""",
    "log export": """\
Needs the extra `analysis` (pip install 'parley-cli[analysis]') and Kafka: that of the stack that
runs on the data folder (PARLEY_DATA), or the one at PARLEY_KAFKA. Writes
STREAM/type=TYPE/day=DAY/part-N.parquet, each event once, and manifest.json last: without it an
export is incomplete. --continue finishes an export that was interrupted or killed, and appends what
the log has got since; other options must then be left out or be the same as before.

Content is written as it is in the log, encrypted. --content fetches the keys from the session
service (PARLEY_SIGNING_KEY, that of the command line, and PARLEY_SESSION_URL unless the stack runs)
and writes clear text; sessions that were erased have none. A later erasure does not reach the copy.

For s3://BUCKET/PREFIX, credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; the URL
may have region, scheme and endpoint_override.

examples:
  parley log export --to exports/all
  parley log export --to exports/all --continue
  parley log export --to exports/failures --type reply_failed --since 30d
  parley log export --to 's3://logs/parley?endpoint_override=minio:9000&scheme=http'
""",
    "log sql": """\
Needs the extra `analysis` (pip install 'parley-cli[analysis]'). Queries are in DuckDB's SQL. Views:
sessions, messages, turns, usage, events, and one per event type, such as reply_completed. Without
--export, the log is exported into a temporary folder first. On a terminal, without QUERY,
statements are read at a prompt.

examples:
  parley log sql "select model, count(*) from turns group by all"
  parley log sql --export exports/all --format csv "from usage" > usage.csv
  parley log sql --export exports/all --as-of 2026-11-24 "select count(*) from sessions"
  parley log sql --plot bar "select day, sum(replies) from usage group by day order by day"
""",
    "log generate": """\
Needs the extra `analysis` (pip install 'parley-cli[analysis]'). --stack appends the events to the
event store of the running stack, which must not have sessions. The same options generate the
same events.

examples:
  parley log generate --sessions 1000 --seed 7 --to exports/simulated
  parley log generate --sessions 200 --stack
  parley log sql --export exports/simulated "select status, count(*) from turns group by all"
""",
    "log verify": LOCATIONS
    + """
Checks, while the stack serves, that the sequence of each session is contiguous, that the event
store and the log hold the same events byte for byte, and that the read model is the projection of
the log. Prints counts and checksums. If anything differs, prints the first differences and exits
with code 1.

With --export, checks an export instead: that every file has its recorded checksum, and that its
events are those of the log, each once.

examples:
  parley log verify
""",
    "log restore": LOCATIONS
    + """
For a topic that was lost and created again: publishes the events that the event store has and the
log lacks, in order within each session, while the stack serves. The command can be interrupted and
run again; it changes nothing in a complete log. Afterwards rebuild the read model with
`parley rebuild history`.

examples:
  parley log restore && parley rebuild history
""",
    "log reconcile": LOCATIONS
    + """
For an event store that was restored from a backup, or that lost its last commits in a failover:
imports the events that exist only in the log. Run it before the session service serves. Where the
store has a different event at the same sequence, nothing is changed: the conflict is listed, and
the exit code is 1. If no stack runs on the data folder, the command itself runs PostgreSQL and
Kafka on it meanwhile.

examples:
  parley log reconcile --dry-run
""",
    "log dead-letters": LOCATIONS
    + """
A record that cannot be decoded or applied becomes a dead letter, and the projection of its session
is paused. COMMAND and its arguments are one of:

  list [--json] [--limit N]                    list the dead letters with their errors
  show PARTITION:OFFSET                        print one dead letter in full
  retry SESSION | PARTITION:OFFSET | --all     apply again, once the cause is fixed
  discard PARTITION:OFFSET | SESSION --reason TEXT
                                               skip the record, also in rebuilds, and resume

examples:
  parley log dead-letters list
  parley log dead-letters retry --all
  parley log dead-letters discard 3:1250 --reason "written by a faulty test"
""",
    "rebuild history": LOCATIONS
    + """
Builds a new version of the read model from the log beside the live one, which keeps serving; then
compares the two and swaps them in one transaction. An interrupted rebuild resumes when the command
is run again.

examples:
  parley rebuild history --workers 8
  parley rebuild history --rollback
""",
}
