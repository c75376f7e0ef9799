"""The `dead-letters` command: list, show, retry and discard records that were not applied."""
