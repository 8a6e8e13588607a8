"""Benchmark suites that only this repository runs; not in the wheel."""
