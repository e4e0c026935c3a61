"""Modules that the components of several methods are built of; import them by file."""
