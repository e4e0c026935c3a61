"""Facts on a method for the model card of its folder."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from mmengine.config import Config

from ovss.hub.config_facts import facts_of_config
from ovss.hub.records import ModelFacts
from ovss.io.json_text import json_text
from ovss.io.strict_json import parse_json
from ovss.protocols.settled import settle_protocol

from .method import Method

__all__ = ["known_facts", "protocol_facts"]


def known_facts(method: Method) -> ModelFacts:
    """Facts of a saved model, or those that the config of a method holds."""
    if method.facts is not None:
        return method.facts
    facts = facts_of_config(method.config, method.note, method.trained)
    return replace(facts, protocol=protocol_facts(method.config))


def protocol_facts(config: Config) -> dict[str, Any]:
    """Evaluation protocol of a config: its name, both hashes and every field.

    Empty if the config has no test data, or if the data cannot be evaluated under its protocol.
    """
    if not config.get("test_dataloader") or not config.get("test_evaluator"):
        return {}
    try:
        settled = settle_protocol(copy.deepcopy(config))
        fields = parse_json(json_text(settled.fields))
    except (KeyError, TypeError, ValueError, OSError):
        return {}
    return {
        "name": settled.name,
        "method_hash": settled.method_hash,
        "full_hash": settled.full_hash,
        "fields": fields,
    }
