"""Presence of the packages that only the commands for analysts need."""

from importlib.util import find_spec

from parley_cli.errors import CommandError

# The modules by the names of their packages.
PACKAGES = {"pyarrow": "pyarrow", "duckdb": "duckdb", "pillow": "PIL"}


def require_analysis_packages() -> None:
    """Raises CommandError if a package is missing."""
    if missing := [package for package, name in PACKAGES.items() if find_spec(name) is None]:
        raise CommandError(
            f"This command needs {' and '.join(missing)}: install the extra `analysis` "
            "(pip install 'parley-cli[analysis]')."
        )
