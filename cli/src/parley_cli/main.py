"""Command dispatch: parses the arguments, runs the command and returns its exit code."""

import os
import pkgutil
import sys
from collections.abc import Sequence

from parley_cli.errors import CommandError
from parley_cli.parser import build_parser


def run(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(arguments)
    # Imported after the parser, which prints help without it.
    from parley_cli.settings import InvalidSettings

    try:
        code: int = pkgutil.resolve_name(options.run)(options)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader closed the pipe. Redirect, so that the flush at exit does not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code
