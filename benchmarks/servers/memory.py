"""Resident memory of a process."""

from pathlib import Path


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process and its children; shared memory counts for each of them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return own / 1024 + sum(resident_megabytes(int(child)) for child in children)
