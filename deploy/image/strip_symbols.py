"""Cuts symbols and debugging information off the compiled modules below a folder: 40 MB in all.

A loader reads only the segments of an ELF file, which come first. `strip` would do the same, but
the base image does not have it.
Format: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
"""

import struct
import sys
from pathlib import Path

ELF_64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
PROGRAM_HEADERS, SECTION_HEADERS = 32, 40  # Offsets of their offsets in the file header.


def loaded_size(content: bytes) -> int:
    """The length of the beginning of the file that its segments and their table are in."""
    (table,) = struct.unpack_from("<Q", content, PROGRAM_HEADERS)
    entry_size, entries = struct.unpack_from("<HH", content, 54)
    ends = [table + entry_size * entries]
    for start in range(table, ends[0], entry_size):
        (offset,) = struct.unpack_from("<Q", content, start + 8)
        (size,) = struct.unpack_from("<Q", content, start + 32)
        ends.append(offset + size)
    return max(ends)


def stripped(content: bytes) -> bytes:
    kept = bytearray(content[: loaded_size(content)])
    # The table of sections was behind the segments: the header says that there is none.
    struct.pack_into("<Q", kept, SECTION_HEADERS, 0)
    struct.pack_into("<HHH", kept, 58, 0, 0, 0)
    return bytes(kept)


def main() -> None:
    for file in Path(sys.argv[1]).rglob("*.so*"):
        if not file.is_symlink() and (content := file.read_bytes()).startswith(
            ELF_64_LITTLE_ENDIAN
        ):
            file.write_bytes(stripped(content))


if __name__ == "__main__":
    main()
