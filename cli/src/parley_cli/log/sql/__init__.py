"""`parley log sql`: questions in SQL over an export, with views of sessions, messages and usage."""
