"""Benchmarks: each measures Modelwright and its yardstick in one run and reports ratios. `scripts/bench` runs them."""
