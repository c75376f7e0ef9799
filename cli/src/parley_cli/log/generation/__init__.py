"""`parley log generate`: a simulated log, for demonstrations, tests and benchmarks."""
