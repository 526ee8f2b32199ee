"""What the science benchmarks share: how results are written, and how numbers are told."""
