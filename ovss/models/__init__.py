"""From a config's name to a ready model: configs, weights, plugins, conversion."""
