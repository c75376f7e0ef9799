"""What the services of Parley share: events, sealing, principals and the shape of errors."""
