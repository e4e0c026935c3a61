"""Protocol of a run, settled once from config and flags and then passed on to its result."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmengine.config import Config

from .named import method_hash, protocol_name
from .protocol import NamedProtocol, Protocol
from .read import data_rules, protocol_of
from .write import apply_protocol, write_protocol, write_queries


@dataclass(frozen=True)
class SettledProtocol:
    """Protocol of one run, with the names and hashes that its state and result record.

    Args:
        chosen: name given by the config or a flag; None: no name was given.
        protocol: every field of the final config.
    """

    chosen: str | None
    protocol: Protocol

    @cached_property
    def name(self) -> str:
        """Name of the closest named protocol, with the fields that differ from it."""
        return protocol_name(self.protocol, self.chosen)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Every field, ready for JSON."""
        return self.protocol.as_dict()

    @cached_property
    def method_hash(self) -> str:
        """Hash of all fields except those of the dataset, so it is the same on every dataset."""
        return method_hash(self.fields, self.name)

    @cached_property
    def full_hash(self) -> str:
        """Hash of every field, including those of the dataset."""
        return self.protocol.full_hash

    def __str__(self) -> str:
        return f"{self.name} (method hash {self.method_hash}, full hash {self.full_hash})"


def settle_protocol(
    config: Config,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> SettledProtocol:
    """Writes a protocol into a config, in place, and reads back the protocol that will run.

    Args:
        config: config to change, see `ovss.protocols.write.write_protocol`.
        name: name of a protocol that replaces the config's own.
        options: value by dotted field.
        overrides: value by dotted config key; applied last, so they win over everything else.

    Raises:
        ProtocolError: a protocol or field is unknown, a value is invalid, or the method cannot run
            the protocol.
    """
    chosen = write_protocol(config, name, options)
    if overrides:
        config.merge_from_dict(dict(overrides))
        config.pop("protocol", None)
    return read_protocol(config, chosen)


def read_protocol(
    config: Config, chosen: str | None = None, metainfo: Mapping[str, Any] | None = None
) -> SettledProtocol:
    """Protocol of a final config, whose key `protocol` is removed already.

    Args:
        config: final config.
        chosen: name given by the config or a flag.
        metainfo: metainfo of its test dataset, if the dataset is built already.
    """
    return SettledProtocol(chosen, protocol_of(config, metainfo))


def named_on(named: NamedProtocol, config: Config) -> SettledProtocol:
    """Named protocol on a dataset, independent of any method.

    Args:
        named: named protocol.
        config: config with `test_dataloader` and `test_evaluator`; it is not changed.

    Raises:
        ProtocolError: the dataset cannot be evaluated under this protocol.
    """
    parts = {key: copy.deepcopy(config[key]) for key in ("test_dataloader", "test_evaluator")}
    bare = Config({"model": {}, **parts})
    data = data_rules(bare, None)
    if data is not None:
        data = write_queries(bare, named, data)
    apply_protocol(bare, named.fields_on(data), data)
    return read_protocol(bare, named.name)
