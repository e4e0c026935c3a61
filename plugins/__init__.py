"""Methods, one folder each. Installed as `ovss_plugins`, which collides with nobody's."""
