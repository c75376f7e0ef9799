"""Queries of an export in this process: the command `parley log sql` takes a second to start."""

from pathlib import Path
from typing import Any

from parley_cli.log.dataset.manifest import load_manifest
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.sql.query_session import query_session


def exported_rows(export: Path, query: str) -> list[dict[str, Any]]:
    storage = storage_at(str(export))
    with query_session(storage, load_manifest(storage), None) as session:
        found: list[dict[str, Any]] = session.run(query).read_all().to_pylist()
        return found
