"""PACL."""
