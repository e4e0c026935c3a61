"""Turns the name of a config into a ready model: configs, weights, plugins, conversion."""
