"""What is used where nothing was asked for."""

METHOD = "dcp_clip_mini"
"""The config of the model that comes along: trained, small, and ready on any machine."""
