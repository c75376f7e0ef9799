"""A package, so that its package-scoped stack stops after the last e2e test of a process."""
