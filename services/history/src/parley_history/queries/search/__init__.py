"""Full-text search over encrypted messages, by keyed hashes of their words."""
