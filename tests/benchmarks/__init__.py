"""Performance as ratios within one run; `python -m tests.benchmarks` writes the README's table."""
