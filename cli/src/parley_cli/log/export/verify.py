"""`parley log verify --export`: compares an export with the log that it was made from."""

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator

from msgspec.structs import replace

from parley_cli.log.dataset.manifest import Manifest, load_manifest, positions_text
from parley_cli.log.dataset.storage_location import Storage, storage_at
from parley_cli.log.export.command import ExportOptions, export_log
from parley_cli.log.export.comparison_repository import Comparison, compare_exports
from parley_core.log import Brokers

MAX_SHOWN = 10


def verify_export(brokers: Brokers, storage: Storage) -> int:
    """Print counts, a checksum and the first differences; 1 if anything differs.

    The log is exported into a temporary folder meanwhile. Raises CommandError.
    """
    manifest = load_manifest(storage)
    damaged = list(damaged_files(storage, manifest))
    if damaged:
        return _report_differences(damaged)
    print(
        f"Files: {len(manifest.files):,} with {manifest.events:,} events, each with its recorded "
        "size and checksum."
    )
    with tempfile.TemporaryDirectory(prefix="parley-verify-") as folder:
        copy_storage = storage_at(folder)
        copy = asyncio.run(_export_again(brokers, copy_storage, manifest))
        comparison = compare_exports((storage, manifest), (copy_storage, copy))
    return _report(manifest, comparison)


async def _export_again(brokers: Brokers, storage: Storage, manifest: Manifest) -> Manifest:
    """Export the same range of the log, without opened content."""
    ends = {channel: state.positions for channel, state in manifest.streams.items()}
    options = ExportOptions(replace(manifest.selection, content=False), ends=ends)
    return await export_log(brokers, storage, options)


def damaged_files(storage: Storage, manifest: Manifest) -> Iterator[str]:
    """A sentence for each file that is missing or differs from its record in the manifest."""
    for file in manifest.files:
        if (content := storage.read(file.path)) is None:
            yield f"{file.path} is missing."
        elif len(content) != file.bytes:
            yield f"{file.path} has {len(content):,} bytes instead of {file.bytes:,}."
        elif hashlib.sha256(content).hexdigest() != file.sha256:
            yield f"{file.path} has another SHA-256 sum than the manifest."


def _report(manifest: Manifest, comparison: Comparison) -> int:
    for channel, state in manifest.streams.items():
        print(f"Stream {channel}: up to {positions_text(state.positions)}.")
    print(
        f"Export: {comparison.exported:,} events, checksum {comparison.checksum:032x}. "
        f"Log: {comparison.logged:,} events."
    )
    if comparison.differences:
        return _report_differences(comparison.differences, comparison.difference_count)
    print("The export and the log agree.")
    return 0


def _report_differences(sentences: list[str], count: int | None = None) -> int:
    count = len(sentences) if count is None else count
    print(f"Found {count:,} differences; the first ones:")
    for sentence in sentences[:MAX_SHOWN]:
        print(f"  {sentence}")
    return 1
