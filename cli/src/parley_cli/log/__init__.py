"""`parley log` and `parley rebuild`: read, verify and repair the event log and the read model."""
