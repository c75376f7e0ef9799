"""The events of an export as Arrow data sets, which DuckDB reads."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import dataset

from parley_cli.errors import CommandError
from parley_cli.log.dataset.event_columns import event_schema
from parley_cli.log.dataset.manifest import Manifest
from parley_cli.log.dataset.storage_location import Storage


def paths_by_type(manifest: Manifest) -> Mapping[str, Sequence[str]]:
    paths = defaultdict[str, list[str]](list)
    for file in manifest.files:
        paths[file.type].append(file.path)
    return paths


def stored_events(storage: Storage, manifest: Manifest, event_type: str) -> Any:
    """The events of a type in Parquet or Arrow files. Raises CommandError."""
    # With the current schema: columns that an older version did not write are null.
    schema = event_schema(event_type)
    paths = [f"{storage.root}/{path}" for path in paths_by_type(manifest).get(event_type, ())]
    if not paths:
        return schema.empty_table()
    file_format = "ipc" if manifest.selection.file_format == "arrow" else "parquet"
    try:
        return dataset.dataset(
            paths, schema=schema, format=file_format, filesystem=storage.filesystem
        )
    except (OSError, pa.ArrowException) as error:
        raise CommandError(
            f"The files of {event_type} in {storage} cannot be read: {error}. "
            f"`parley log verify --export {storage}` lists what is missing or damaged."
        ) from error
