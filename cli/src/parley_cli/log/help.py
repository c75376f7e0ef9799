"""Help epilogs of `parley log … --help` and `parley rebuild … --help`."""

LOCATIONS = """\
The log and the databases are those of the stack that runs on the data folder (PARLEY_DATA). To use
others, set PARLEY_KAFKA (with PARLEY_KAFKA_SECURITY_PROTOCOL and the like),
PARLEY_SESSION_DATABASE_URL and PARLEY_HISTORY_DATABASE_URL.
"""

EPILOGS = {
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
    "tail": """\
Needs only Kafka: that of the stack that runs on the data folder (PARLEY_DATA), or the one at
PARLEY_KAFKA. Events are printed in order of their times; with --follow, in that order within each
batch read. TIME is an age such as 15m, 2h or 3d, or a date or time such as 2026-11-24T12:00:00Z
(UTC unless it has an offset). --user and --tenant read the log from its beginning, because only
the first event of a session names its owner.

Each line has the time, session, sequence, type, actor, details such as model, tokens and finish
reason, and PARTITION:OFFSET. Message content is encrypted in the log. --content fetches the keys
from the session service; unless the stack of the data folder runs, set PARLEY_INTERNAL_SECRET and
PARLEY_SESSION_URL.

examples:
  parley log tail -f
  parley log tail --user ada --since 2h
  parley log tail --type reply_failed --limit 100
  parley log tail --session 0199c0de-0000-7000-8000-000000000001 --content
  parley log tail --from 3:1250 --limit 1 --json | jq .data
  parley log tail --since 1d --json | jq -r 'select(.data.usage) | .data.usage.completion_tokens'
""",
    "verify": LOCATIONS
    + """
Checks, while the stack serves, that the sequence of each session is contiguous, that the event
store and the log hold the same events byte for byte, and that the read model is the projection of
the log. Prints counts and checksums. If anything differs, prints the first differences and exits
with code 1.

examples:
  parley log verify
""",
    "restore": LOCATIONS
    + """
For a topic that was lost and created again: publishes the events that the event store has and the
log lacks, in order within each session, while the stack serves. The command can be interrupted and
run again; it changes nothing in a complete log. Afterwards rebuild the read model with
`parley rebuild history`.

examples:
  parley log restore && parley rebuild history
""",
    "reconcile": LOCATIONS
    + """
For an event store that was restored from a backup, or that lost its last commits in a failover:
imports the events that exist only in the log. Run it before the session service serves. Where the
store has a different event at the same sequence, nothing is changed: the conflict is listed, and
the exit code is 1.

examples:
  parley log reconcile --dry-run
  parley log reconcile
""",
    "dead-letters": LOCATIONS
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
    "history": LOCATIONS
    + """
Builds a new version of the read model from the log beside the live one, which keeps serving; then
compares the two and swaps them in one transaction. An interrupted rebuild resumes when the command
is run again.

examples:
  parley rebuild history
  parley rebuild history --workers 8
  parley rebuild history --rollback
""",
}
