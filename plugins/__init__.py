"""Methods, one folder each. Installed under the name `ovss_plugins`."""
