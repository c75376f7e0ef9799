"""Load generators and sample data of the benchmarks."""
