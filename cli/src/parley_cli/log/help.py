"""What `parley log … --help` and `parley rebuild … --help` say below the options."""

WHERE = """\
The log and the stores are those of the stack that runs on the data folder (PARLEY_DATA), or those
that PARLEY_KAFKA (with PARLEY_KAFKA_SECURITY_PROTOCOL and the like), PARLEY_SESSION_DATABASE and
PARLEY_HISTORY_DATABASE name.
"""

EPILOGS = {
    "log": """\
`parley log COMMAND --help` tells more of each.

examples:
  parley log tail -f
  parley log verify
  parley log dead-letters list
""",
    "rebuild": """\
`parley rebuild history --help` tells more.

examples:
  parley rebuild history
""",
    "tail": """\
Only Kafka is needed: that of the stack that runs on the data folder (PARLEY_DATA), or the one at
PARLEY_KAFKA. Events are shown in the order of their times; while following, in that order within
each batch that comes. TIME is 15m, 2h or 3d (ago), or a date or time such as 2026-11-24T12:00:00Z,
in UTC unless it says otherwise. With --user or --tenant the whole log is read from its beginning,
since only a session's first event says whose it is.

A line has the time, the session, the sequence, the type, who caused it, facts such as model, tokens
and finish reason, and PARTITION:OFFSET. What people typed and models wrote is sealed in the log;
--content asks the session service for the keys, and needs PARLEY_INTERNAL_SECRET and
PARLEY_SESSION_URL, unless the stack of the data folder runs.

examples:
  parley log tail -f
  parley log tail --user ada --since 2h
  parley log tail --type reply_failed --limit 100
  parley log tail --session 0199c0de-0000-7000-8000-000000000001 --content
  parley log tail --from 3:1250 --limit 1 --json | jq .data
  parley log tail --since 1d --json | jq -r 'select(.data.usage) | .data.usage.completion_tokens'
""",
    "verify": WHERE
    + """
Checks, while chat goes on: the sequence of each session is contiguous; the event store and the log
hold the same events, byte for byte; the read model is what the log makes of it. Prints counts and
checksums. The exit code is 1 with the first differences when there are any.

examples:
  parley log verify
""",
    "restore": WHERE
    + """
For a topic that was lost and made again: what the event store has and the log lacks is published,
each session in its order. Run again, it goes on where it was; a whole log is left as it is. Chat
goes on meanwhile. Afterwards the read model must be made anew: `parley rebuild history`.

examples:
  parley log restore && parley rebuild history
""",
    "reconcile": WHERE
    + """
For an event store that was restored from a backup, or lost its last commits in a failover: it
takes back what only the log has, before writes open. Where the store has another event in the same
place nothing is touched: it is listed, and the exit code is 1.

examples:
  parley log reconcile --dry-run
  parley log reconcile
""",
    "dead-letters": WHERE
    + """
A record that can never be decoded or applied is set aside with all that follows in its session.
COMMAND and what follows it is one of:

  list [--json] [--limit N]                    what is set aside, and why
  show PARTITION:OFFSET                        one record whole
  retry SESSION | PARTITION:OFFSET | --all     apply again, once the reason is mended
  discard PARTITION:OFFSET | SESSION --reason TEXT
                                               go on without it; rebuilds go on without it too

examples:
  parley log dead-letters list
  parley log dead-letters retry --all
  parley log dead-letters discard 3:1250 --reason "written by a faulty test"
""",
    "history": WHERE
    + """
Makes the read model anew from the log, beside the live one, while people read and write; then
compares the two and swaps them in one transaction. Killed, it goes on where it was when it is run
again.

examples:
  parley rebuild history
  parley rebuild history --workers 8
  parley rebuild history --rollback
""",
}
