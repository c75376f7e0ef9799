"""Help epilogs of the commands, by name: details and examples below their arguments."""

LOCATIONS = """\
The log and the databases are those of the running stack (PARLEY_DATA). To use others, set PARLEY_KAFKA
and the like, PARLEY_SESSION_DATABASE_URL and PARLEY_HISTORY_DATABASE_URL.
"""

EPILOGS = {
    "up": """\
environment:
  PARLEY_DATA          data folder (default .parley)
  PARLEY_PORT, PARLEY_HOST
                       port and address of the gateway (default 8080 and 127.0.0.1)
  XDG_CACHE_HOME       cache of Kafka's jars (default ~/.cache, on macOS ~/Library/Caches)
  OPENAI_BASE_URL, OPENAI_API_KEY, PARLEY_MODEL
                       model server, its API key and the default model; without a base URL and
                       a key, replies come from an offline demo model
  PARLEY_POSTGRES, PARLEY_KAFKA, PARLEY_REDIS
                       engines that already run, used instead of the embedded ones: an
                       administrator's postgresql:// URL, host:port, a redis:// URL
  PARLEY_MASTER_KEY, PARLEY_JWT_SECRET
                       secrets, used instead of those generated in the data folder
  PARLEY_MODELS, PARLEY_ASSISTANTS, PARLEY_POLICIES
                       YAML files with models, shared assistants and retention policies
  PARLEY_SESSION_…, PARLEY_INFERENCE_…, PARLEY_HISTORY_…, PARLEY_GATEWAY_…
                       settings of one service, passed to that service

examples:
  parley up
  PARLEY_PORT=9000 parley up --replicas gateway=2,inference=2
  parley up --tls --monitoring
  OPENAI_API_KEY=... PARLEY_MODEL=gpt-4.1-mini parley up
""",
    "trust": """\
Prints the commands of the operating system and runs them; they may ask for your password.

examples:
  parley trust --print
""",
    "status": """\
Each process is probed now. The exit code is 1 if no stack runs on the data folder (PARLEY_DATA).

examples:
  parley status --json | jq -r '.[] | select(.name == "kafka") | .address'
""",
    "token": """\
The token is signed with PARLEY_JWT_SECRET, or else with the secret in the data folder
(PARLEY_DATA).

examples:
  parley token --user ada
  curl -H "Authorization: Bearer $(parley token --user ada)" http://127.0.0.1:8080/v1/assistants
""",
    "chat": """\
Type a message, or /help for the commands of the chat. If standard input or output is not a
terminal, each line of standard input is one message of a new session (or that of --session), and
only the replies are written to standard output.

examples:
  parley chat
  parley chat --new --assistant coder
  echo "What is an event log?" | parley chat --user ada > answer.md
""",
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
event store of the running stack, which must not have sessions. The same options, the same events.

examples:
  parley log generate --sessions 1000 --seed 7 --to exports/simulated
  parley log generate --sessions 200 --stack
  parley log sql --export exports/simulated "select status, count(*) from turns group by all"
""",
    "log verify": LOCATIONS
    + """
With --export, checks an export instead: that every file has its recorded checksum, and that its
events are those of the log, each once.

Checks, while the stack serves, that the sequence of each session is contiguous, that the event
store and the log hold the same events byte for byte, and that the read model is the projection of
the log. Prints counts and checksums. If anything differs, prints the first differences and exits
with code 1.

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
    "backup": """\
Writes a consistent snapshot of the event store while the stack serves: sessions, events, turns,
assistants and the outbox. The event store is that of the stack that runs on the data folder
(PARLEY_DATA), or the one at PARLEY_SESSION_DATABASE_URL.

Data keys are written to a separate folder, wrapped with the master key, which is in neither folder.
Store the data, the keys and the master key apart: none of them is readable alone. manifest.json is
written last; a backup without it is incomplete.

Erasing a session does not change existing backups. Its content becomes unreadable once the last
keys folder that contains its key is deleted, so do not retain keys folders longer than your
erasure policy allows.

examples:
  parley backup --to backups/2026-11-24
  parley backup --to /backups/today --keys /other-disk/today-keys
""",
    "verify-backup": """\
Checks a backup without a database: that every file has its recorded checksum, that the events of
every session are contiguous up to its version, that the files agree with each other, and that
every key can be unwrapped with PARLEY_MASTER_KEY or the master key in the data folder; without a
master key, says that the keys were not checked. If anything differs, prints the first differences
and exits with code 1.

examples:
  parley verify-backup --from backups/2026-11-24
""",
    "restore": """\
Verifies the backup, then restores all of it or nothing. The target must be empty and have the
migrations of the backup. Without PARLEY_SESSION_DATABASE_URL, the event store is created in the
data folder (PARLEY_DATA, or the server at PARLEY_POSTGRES); no stack may run on that folder, and
the master key of the backup must be in PARLEY_MASTER_KEY or in secrets/master-key of the folder.

Events after the backup, erasures included, are imported from the log: by this command if the data
folder contains a log or PARLEY_KAFKA has it; with PARLEY_SESSION_DATABASE_URL by `parley log
reconcile`, which must run before the session service serves. Until then, sessions erased since the
backup are readable again. Events that neither the backup nor the log contains are lost; repeat
erasures among them. At the end, the command prints the next commands.

examples:
  PARLEY_DATA=new PARLEY_MASTER_KEY=... parley restore --from backups/2026-11-24
""",
    "keys": """\
A master key is replaced while people chat: `rotate` shows the next step, and rewraps when it is
time. Run an interrupted rewrap again. Uses PARLEY_MASTER_KEY, or secrets/master-key in the data
folder (PARLEY_DATA), which its stack re-reads within 10 s; the event store is that of the stack.

`signing` makes other keys: those with which services sign their calls to each other, and the set of
public keys that all need. With --next it adds one of a service, to replace the one before.

examples:
  parley keys status
  parley keys rewrap --to k2 --dry-run
  parley keys signing --to keys --next gateway
""",
    "api-keys": """\
API keys are credentials of programs, which act as the user. They are sent like a token, or as the
`api_key` of OpenAI's SDKs. Calls the gateway as the user: with PARLEY_TOKEN if it is set, else with
a development token, which has the scopes that the key gets.

examples:
  parley api-keys create --user ada --name "nightly report" --days 90
  parley api-keys list --user ada
  parley api-keys revoke --user ada 0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e
""",
    "revoke": """\
Every gateway refuses revoked tokens within 2 seconds, and ends the streams that they opened. Those
of a user or tenant are refused if they were issued before now: to sign in again is possible from
the next second on. A user's API keys are revoked with `parley api-keys revoke`, those of a tenant
by `parley revoke tenant`. Calls the gateway with PARLEY_TOKEN if it is set, which needs the scope
`admin`, else with a development token.

examples:
  parley revoke user ada
  parley revoke token 7d2c9a54 --tenant acme
  parley revoke tenant acme
  parley revoke list --tenant acme
""",
    "export": """\
Exports all sessions of a user through the gateway that `parley up` runs, with a token signed with
PARLEY_JWT_SECRET or with the secret in the data folder (PARLEY_DATA). JSON contains every branch
of a session, Markdown the current one. A file appears under its name once it is complete.

examples:
  parley export --user ada --to ada.json
  parley export --user ada --format markdown | less
""",
    "erase-user": """\
Revokes the user's API keys, and then erases permanently, without an undelete window: archived,
deleted and temporary sessions as well, and finally the user's search key. IDs, times and counts
remain; message content becomes unreadable. Sessions under a legal hold are not erased; the exit
code is then 1. Backups have their own copies of the keys, until they are deleted.

The event store is that of the stack that runs on the data folder (PARLEY_DATA), or the one at
PARLEY_SESSION_DATABASE_URL, with PARLEY_MASTER_KEY. The other services follow through the log while
the session service runs.

examples:
  parley erase-user --user ada --tenant acme --yes
""",
}
