"""The `rebuild` and `verify` commands: build a read-model version from the log, compare, swap.

`coordinator` runs the phases; each `worker` process folds a share of the partitions.
"""
