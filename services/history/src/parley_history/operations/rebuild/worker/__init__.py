"""Worker process of a rebuild: `python -m parley_history.operations.rebuild.worker`."""
