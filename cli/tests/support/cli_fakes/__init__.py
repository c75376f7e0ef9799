"""Fakes for the tests of the command line, reached over real sockets and processes."""
