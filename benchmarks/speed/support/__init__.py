"""What the speed benchmarks share: test files, peers, the record of a run."""
