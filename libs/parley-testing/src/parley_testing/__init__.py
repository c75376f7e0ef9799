"""What the tests of several parts of Parley share."""
