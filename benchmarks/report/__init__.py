"""Benchmark reports: console tables, plots, one HTML page."""
