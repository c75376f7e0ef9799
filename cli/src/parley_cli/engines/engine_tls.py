"""Certificate of an embedded engine, and the authority with which its clients verify it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EngineTls:
    """PEM files; `key_file` also has the certificate after the key, as Kafka reads it."""

    certificate_file: Path
    key_file: Path
    authority_file: Path
