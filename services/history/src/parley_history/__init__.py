"""History: the read side of Parley, projected from the log into Postgres and served in pages."""
