"""The AsyncAPI 3.0 document of the log, and the examples in `docs/events.md`.

Both are made from the models of the events and the golden records, so that they cannot drift from
them: `python -m parley_events.asyncapi` writes them, with `--check` it compares.
"""
