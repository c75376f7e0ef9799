"""Request and response bodies of the session service's internal API (docs/internal-api.md)."""
