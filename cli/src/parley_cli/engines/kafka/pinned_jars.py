"""The jars of Kafka's class path, pinned by size and checksum."""

from pathlib import Path
from typing import NamedTuple

# Each line is a SHA-256 checksum, a number of bytes and a path in a Maven repository.
PINNED_JARS = Path(__file__).with_name("kafka-jars.txt")


class Jar(NamedTuple):
    sha256: str
    bytes: int
    path: str


def pinned_jars() -> list[Jar]:
    lines = (line.split() for line in PINNED_JARS.read_text().splitlines())
    return [Jar(sha256, int(size), path) for sha256, size, path in lines]
