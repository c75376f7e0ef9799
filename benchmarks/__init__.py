"""Every speed claim of Parley, as a ratio measured in one run: `make bench`."""
