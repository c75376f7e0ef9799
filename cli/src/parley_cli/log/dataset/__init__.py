"""An exported data set: its columns, files, manifest and storage."""
