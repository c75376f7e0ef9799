"""What the command line's tests talk to, over real sockets and processes."""
