"""Methods, one folder each: installed as `ovss_plugins`, found by the entry point `ovss.plugins`.

A method that lives here could live in a repository of its own without changing a line.
"""
