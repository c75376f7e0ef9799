"""TLS of the services: certificates from files, and the listener that accepts with them."""
