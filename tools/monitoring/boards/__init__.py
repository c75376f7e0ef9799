"""The dashboards; each module has one, as `board()`."""
