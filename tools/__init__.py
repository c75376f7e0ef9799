"""Developer tools; nothing in the services imports them."""
