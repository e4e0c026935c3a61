"""Config of a run, whose text is formatted once."""

from __future__ import annotations

from functools import lru_cache

from mmengine.config import Config

__all__ = ["RunConfig"]


class RunConfig(Config):
    """mmengine's Config that formats equal contents once.

    mmengine writes the text of a config to the log, to the working directory, to the visualizer
    and to every checkpoint, and formats it each time, which takes longer than to build a small
    model.
    """

    @property
    def pretty_text(self) -> str:
        """Python code of the config, formatted."""
        # equal contents have equal plain texts, which take no time to write
        return _formatted(_Key(Config(self.to_dict(), format_python_code=False)))


class _Key:
    """Config that is compared by its plain text."""

    def __init__(self, config: Config) -> None:
        self.config, self.text = config, config.pretty_text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=4)
def _formatted(key: _Key) -> str:
    text: str = Config(key.config.to_dict()).pretty_text
    return text
