"""Fuzz test of every entry point: `python -m tests.fuzz --help`."""
