"""The protocol of a run: settled once from config and flags, then carried to its result."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmengine.config import Config

from .named import NamedProtocol, method_hash, protocol_name
from .protocol import Protocol
from .read import data_rules, protocol_of
from .write import apply_protocol, write_protocol


@dataclass(frozen=True)
class SettledProtocol:
    """Protocol of one run, with everything that its state and its result record.

    Args:
        chosen: name that the config or a flag gave; None: none was given.
        protocol: every field of the final config.
    """

    chosen: str | None
    protocol: Protocol

    @cached_property
    def name(self) -> str:
        """A named protocol, and the fields that differ from it."""
        return protocol_name(self.protocol, self.chosen)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Every field, for JSON."""
        return self.protocol.as_dict()

    @cached_property
    def method_hash(self) -> str:
        """Hash of the method's fields alone: the same on every dataset."""
        return method_hash(self.fields, self.name)

    @cached_property
    def full_hash(self) -> str:
        """Hash of every field, the data's rules included."""
        return self.protocol.full_hash

    def __str__(self) -> str:
        return f"{self.name} (method hash {self.method_hash}, full hash {self.full_hash})"


def settle_protocol(
    config: Config,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> SettledProtocol:
    """Write a protocol into a config, in place, and read back what will run.

    Args:
        config, name, options: see `ovss.protocols.write.write_protocol`.
        overrides: dotted config key -> value. They are applied last and have the last word.

    Raises:
        ProtocolError: unknown protocol or field, a value that the field cannot have, or a protocol
            that the method cannot run.
    """
    chosen = write_protocol(config, name, options)
    if overrides:
        config.merge_from_dict(dict(overrides))
        config.pop("protocol", None)
    return read_protocol(config, chosen)


def read_protocol(
    config: Config, chosen: str | None = None, metainfo: Mapping[str, Any] | None = None
) -> SettledProtocol:
    """The protocol of a config that is final and names none any more.

    Args:
        config: as it runs.
        chosen: name that was asked for.
        metainfo: of its test dataset, if that is built already.
    """
    return SettledProtocol(chosen, protocol_of(config, metainfo))


def named_on(named: NamedProtocol, config: Config) -> SettledProtocol:
    """A named protocol on a dataset, independent of the method.

    Args:
        named: the protocol.
        config: with `test_dataloader` and `test_evaluator`; not changed.

    Raises:
        ProtocolError: the dataset cannot be evaluated under this protocol.
    """
    parts = {key: copy.deepcopy(config[key]) for key in ("test_dataloader", "test_evaluator")}
    bare = Config({"model": {}, **parts})
    data = data_rules(bare, None)
    apply_protocol(bare, named.fields_on(data), data)
    return read_protocol(bare, named.name)
