"""What the services of Parley share: events and their form in the log."""
