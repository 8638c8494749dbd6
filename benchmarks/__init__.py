"""What sharing costs: the same work with and without it, in one process, as ratios. `python -m benchmarks --help`."""
