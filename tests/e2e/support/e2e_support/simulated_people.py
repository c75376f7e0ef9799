"""The simulated people of a stack: `parley log generate` makes the same for the same options."""

SESSIONS, SEED, DAYS = 20, 3, 30
GENERATE_OPTIONS = ("--sessions", str(SESSIONS), "--seed", str(SEED), "--days", str(DAYS))
