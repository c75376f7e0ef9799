"""How much memory a process holds."""

from pathlib import Path


def resident(pid: int) -> float:
    """Megabytes of a process and its children; memory that they share counts once for each."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return own / 1024 + sum(resident(int(child)) for child in children)
