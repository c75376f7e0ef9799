"""Key management: wraps data keys with master keys, local ones or those of a key service."""
