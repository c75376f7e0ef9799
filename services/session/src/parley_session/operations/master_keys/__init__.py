"""`keys`: shows the master keys in use, and rewraps the stored keys with the active one."""
