"""Arguments of `parley audit`."""

from datetime import UTC, datetime

from parley_cli.command_parser import Subparsers, add_command, whole_number_up_to
from parley_cli.log.time_arguments import parse_time
from parley_cli.log_help import LOCATIONS

MAX_LIMIT = 1_000_000

_EPILOG = f"""\
The audit trail records erasures, deletions, imports, legal holds, changes of assistants, keys and
limits, searches, exports and refused access: ids, never what people said. It covers all tenants;
auditors of a tenant read its part at GET /v1/audit.

`tail` prints the newest records, or with --since those from a time on. `verify` recomputes the
chain of hashes in the event store and in the log and compares the two: it names the first records
that are missing or were changed, and then the exit code is 1.

{LOCATIONS}
examples:
  parley audit tail -f
  parley audit tail --since 1d --json | jq -r 'select(.data.action == "access.refused").data'
  parley audit verify
"""


def add_audit(commands: Subparsers) -> None:
    """`audit_command` in the result is tail or verify."""
    summary = "print the audit trail, and check that it is complete and unchanged"
    audit = add_command(commands, "audit", summary, "log.audit.command:audit", _EPILOG)
    audit_commands = audit.add_subparsers(dest="audit_command", required=True, metavar="COMMAND")
    tail = audit_commands.add_parser("tail", help="print records")
    add = tail.add_argument
    add(
        "--since",
        type=_time,
        metavar="TIME",
        help="first time to include, such as 2h or 2026-11-24",
    )
    add("--until", type=_time, metavar="TIME", help="last time to include")
    add("-n", "--limit", type=whole_number_up_to(MAX_LIMIT), metavar="N", help="number of records")
    add("-f", "--follow", action="store_true", help="print new records as they come")
    add("--json", action="store_true", help="output one CloudEvent in JSON per line")
    audit_commands.add_parser("verify", help="check the chain in the event store and the log")


def _time(text: str) -> datetime:
    return parse_time(text, datetime.now(UTC))
