"""`parley log export`: copies the log into files, once and then incrementally."""
