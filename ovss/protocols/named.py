"""The protocols that have a name: as the papers' numbers were made, and the mini world's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ovss.io.hashing import short_hash
from ovss.vocabularies import load_templates

from .protocol import (
    Canvas,
    DataRules,
    Prompting,
    Protocol,
    ProtocolError,
    ProtocolTemplate,
    Resize,
    Scoring,
    Views,
    templates_name,
    unknown_name,
)


@dataclass(frozen=True)
class NamedProtocol:
    """A protocol that papers or configs use.

    Args:
        name: what configs call it.
        template: its fields.
        source: whose numbers are made so.
        on: vocabulary -> fields that differ there.
    """

    name: str
    template: ProtocolTemplate
    source: str
    on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def fields_on(self, data: DataRules | None) -> ProtocolTemplate:
        """The fields on a data set."""
        return self.template.changed(self.on.get(data.vocabulary, {}) if data else {})


@cache
def named_protocols() -> dict[str, NamedProtocol]:
    """Every protocol by its name."""
    return {protocol.name: protocol for protocol in (*_published(), *_mini())}


def find_protocol(name: str) -> NamedProtocol:
    """The protocol of that name.

    Raises:
        ProtocolError: there is none; with the closest.
    """
    known = named_protocols()
    if name not in known:
        raise ProtocolError(unknown_name("protocol", str(name), list(known)))
    return known[name]


def protocol_name(protocol: Protocol, chosen: str | None = None) -> str:
    """What to call it: a name, with the fields that differ.

    Args:
        protocol: as it was read from a config.
        chosen: the name that was asked for, taken unless another fits and it does not.

    >>> protocol_name(Protocol(find_protocol("mini").template))
    'mini'
    >>> protocol_name(Protocol(find_protocol("sed").template.changed({"canvas.size": 512})))
    'sed with canvas.size=512'
    """
    known = named_protocols()
    order = sorted(known, key=lambda name: name != chosen)
    found = {name: _differences(protocol, known[name]) for name in order}
    name = min(order, key=lambda name: _distance(found[name], name == chosen))
    return " with ".join(filter(None, (name, _told(found[name]))))


def method_hash(fields: Mapping[str, Any], name: str) -> str:
    """Hash of the fields of a method alone, without the data's rules.

    What happens to synonyms does not matter on data that has none, and the recorded field is
    ``"none"`` there. The named protocol's value is hashed instead, so that one protocol has one
    method hash on every dataset.

    Args:
        fields: `Protocol.as_dict`, as computed or as a result file has it.
        name: of the protocol, as `protocol_name` gives it.

    >>> mini = Protocol(find_protocol("mini").template.plain())
    >>> method_hash(mini.as_dict(), "mini") == mini.full_hash
    True
    """
    prompts, named = fields.get("prompts"), named_protocols().get(name.partition(" with ")[0])
    if named is not None and isinstance(prompts, Mapping) and prompts.get("synonyms") == "none":
        prompts = {**prompts, "synonyms": named.template.prompts.synonyms}
        fields = {**fields, "prompts": prompts}
    return short_hash({**fields, "data": None})


def _differences(protocol: Protocol, named: NamedProtocol) -> dict[str, Any]:
    """Dotted field -> value here, where it is not the named protocol's."""
    template = named.fields_on(protocol.data).plain()
    here, there = protocol.how.plain().flat(), template.flat()
    of_data = ("resize", "scores") if protocol.data is None else ()
    if "none" in (here["prompts.synonyms"], there["prompts.synonyms"]) or (
        protocol.data is None and there["prompts.synonyms"] == "each"
    ):
        there["prompts.synonyms"] = here["prompts.synonyms"]
    return {
        key: value
        for key, value in here.items()
        if value != there[key] and key.partition(".")[0] not in of_data
    }


def _distance(found: Mapping[str, Any], chosen: bool) -> int:
    """How many groups of fields differ; what was chosen gives way to an exact fit only."""
    return len({key.partition(".")[0] for key in found}) and (
        1 if chosen else 1 + len({key.partition(".")[0] for key in found})
    )


def _told(found: Mapping[str, Any]) -> str:
    """``views.stride=192, ...``, without what follows from the other fields."""
    follows = {"resize.short", "canvas.size", "background.name"} & {
        key for key, value in found.items() if value is None
    }
    if found.get("views.mode") == "whole":
        follows.add("views.mode")
    silent = {key.partition(".")[0] for key in follows}
    return ", ".join(
        f"{key}={templates_name(value) if key == 'prompts.templates' else value}"
        for key, value in found.items()
        if key in follows or key.partition(".")[0] not in silent or value is not None
    )


def _published() -> tuple[NamedProtocol, ...]:
    """Of section "Published" of docs/protocols.md."""
    mapper = Resize(short=640, longest=2560)
    windows = Views("slide", 384, 256, True, "probs", "sigmoid")
    eighty = Prompting(load_templates("imagenet_80"), "average")
    cat_seg = ProtocolTemplate(
        Prompting(load_templates("cat_seg"), "first"), mapper, Canvas(640), windows
    )
    sed = ProtocolTemplate(eighty, mapper, Canvas(768))
    crops = ProtocolTemplate(
        replace(eighty, synonyms="each"),
        canvas=Canvas(336, keep_ratio=True),
        views=Views("slide", 224, 112, False, "logits", "softmax"),
        scores=Scoring(absent="union"),
    )
    one_view = crops.changed({"canvas.keep_ratio": False, "views": Views(activation="softmax")})
    streets = {"cityscapes": {"canvas.size": 560}}
    return (
        NamedProtocol("cat_seg", cat_seg, "CAT-Seg's paper and code"),
        NamedProtocol("sed", sed, "SED's paper and code"),
        NamedProtocol(
            "dcp_clip", replace(cat_seg, prompts=eighty), "DCP-CLIP's paper, inferred: as CAT-Seg"
        ),
        NamedProtocol("dpseg", sed, "DPSeg's paper: as SED"),
        NamedProtocol("sclip", crops, "SCLIP's and NACLIP's code", streets),
        NamedProtocol("clearclip", crops.changed({"canvas.size": 448}), "ClearCLIP, windows"),
        NamedProtocol("gem", one_view.changed({"canvas.size": 448}), "GEM, one view"),
        NamedProtocol("clip_surgery", one_view.changed({"canvas.size": 512}), "CLIP Surgery"),
    )


def _mini() -> tuple[NamedProtocol, ...]:
    """Of the mini world: one view at the size that its scenes have."""
    mini = ProtocolTemplate(Prompting(load_templates("single"), "first"), canvas=Canvas(96))
    seven = Prompting(load_templates("imagenet_7"), "average")
    streets = {"canvas": Canvas((240, 320)), "views": Views("slide", 192, 128, True, "probs")}
    return (
        NamedProtocol("mini", mini, "the mini world, one prompt"),
        NamedProtocol("mini_7", replace(mini, prompts=seven), "the mini world, seven prompts"),
        NamedProtocol(
            "mini_training_free",
            mini.changed({"views.activation": "softmax"}),
            "the mini world, methods that need no training",
        ),
        NamedProtocol("mini_camvid", mini.changed(streets), "street pictures for the mini CLIP"),
    )
