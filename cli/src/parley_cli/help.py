"""Help epilogs of the commands, by name: details and examples below their arguments."""

from parley_cli.log_help import LOG_EPILOGS

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
  PARLEY_MODELS, PARLEY_ASSISTANTS, PARLEY_POLICIES, PARLEY_LIMITS_FILE, PARLEY_OIDC_ISSUERS
                       YAML files with models, shared assistants, retention policies, limits, and
                       the issuers of tokens (without it, development tokens are valid)
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
    **LOG_EPILOGS,
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
public keys that all need. With --next it adds another key of one service, which replaces the
previous one.

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
  parley api-keys create --user ada --name "a script" --limit cost_per_day=2000000
  parley api-keys list --user ada
  parley api-keys revoke --user ada 0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e
""",
    "revoke": """\
Every gateway refuses revoked tokens within 2 seconds, and ends the streams that they opened. Tokens
of a user or tenant are refused if they were issued before now; signing in again is possible from
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
