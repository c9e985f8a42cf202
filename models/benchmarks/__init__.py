"""Benchmarks: one file each; `bench NAME` prints a table and writes JSON."""
