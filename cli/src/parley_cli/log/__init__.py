"""`parley log` and `parley rebuild`: read the log, check it against the stores, mend what broke."""
