"""A version of the read model is built from the log beside the active one, compared, swapped in.

`coordinator` has the phases; `worker` is a process that folds a share of the partitions.
"""
