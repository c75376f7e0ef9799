"""`parley export` and `parley erase-user`: data portability and erasure for one user."""
