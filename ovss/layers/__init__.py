"""Modules shared by the components of several methods. Import them from their files."""
