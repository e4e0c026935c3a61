"""Evaluation protocols: their fields, the published ones by name, and how a config carries one."""
