"""What is done with all that one person has: `parley export`, `parley erase-user`."""
