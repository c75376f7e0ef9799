"""Presence of the packages that only the commands for analysts need."""

from importlib.util import find_spec

from parley_cli.errors import CommandError

PACKAGES = ("pyarrow", "duckdb")


def require_analysis_packages() -> None:
    """Raises CommandError if a package is missing."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise CommandError(
            f"This command needs {' and '.join(missing)}: install the extra `analysis` "
            "(pip install 'parley-cli[analysis]')."
        )
