"""Small real processes for the supervisor, and a gateway that a chat can be had with."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
