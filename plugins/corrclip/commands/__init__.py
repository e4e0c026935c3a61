"""Commands that this plugin adds to `ovss`: one module each."""
