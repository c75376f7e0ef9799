"""The built chat page: its files, and the responses that serve them."""
