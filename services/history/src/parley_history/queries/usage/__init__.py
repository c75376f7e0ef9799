"""What replies cost: sums over the usage of the read model."""
