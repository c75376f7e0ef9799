"""Generator of the AsyncAPI 3.0 document and of the examples in `docs/events.md`.

Both are generated from the event models and the golden records: `python -m parley_events.asyncapi`
writes them; with `--check` it reports differences.
"""
