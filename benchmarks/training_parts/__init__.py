"""Parts of the benchmarks of training: each runs by itself and prints its figures."""
