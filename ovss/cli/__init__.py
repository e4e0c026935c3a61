"""The console command ``ovss``: one module per sub-command, imported only when it is called."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
