"""Evaluation protocols: their fields, the named ones, reading and writing them in configs."""
