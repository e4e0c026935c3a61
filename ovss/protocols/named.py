"""Named protocols: those behind published numbers, and those of the mini world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from ovss.io.hashing import short_hash
from ovss.vocabularies import load_templates

from .protocol import (
    Canvas,
    NamedProtocol,
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
from .training_free import training_free_protocols


@cache
def named_protocols() -> dict[str, NamedProtocol]:
    """All named protocols, by name."""
    return {protocol.name: protocol for protocol in (*_published(), *_mini())}


def find_protocol(name: str) -> NamedProtocol:
    """Named protocol, looked up by name.

    Raises:
        ProtocolError: the name is unknown; the message lists close matches.
    """
    known = named_protocols()
    if name not in known:
        raise ProtocolError(unknown_name("protocol", str(name), list(known)))
    return known[name]


def protocol_name(protocol: Protocol, chosen: str | None = None) -> str:
    """Name of the closest named protocol, followed by the fields that differ from it.

    Args:
        protocol: protocol as read from a config.
        chosen: name given by a config or a flag. It is preferred unless another named protocol
            matches exactly and this one does not.

    Examples:
        >>> protocol_name(Protocol(find_protocol("mini").template))
        'mini'
        >>> protocol_name(Protocol(find_protocol("sed").template.changed({"canvas.size": 512})))
        'sed with canvas.size=512'
    """
    known = named_protocols()
    order = sorted(known, key=lambda name: name != chosen)
    differences = {name: _differences(protocol, known[name]) for name in order}
    name = min(order, key=lambda name: _distance(differences[name], name == chosen))
    return " with ".join(filter(None, (name, _summary(differences[name]))))


def method_hash(fields: Mapping[str, Any], name: str) -> str:
    """Hash of all fields except those of the dataset.

    On data without synonyms the recorded field is ``"none"``, because their treatment does not
    matter. The value of the named protocol is hashed instead, so a protocol has the same method
    hash on every dataset.

    Args:
        fields: fields as `Protocol.as_dict` returns them or a result file records them.
        name: name of the protocol, as `protocol_name` returns it.

    Examples:
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
    """Values that differ from those of the named protocol, by dotted field."""
    template = named.fields_on(protocol.data).plain()
    own, reference = protocol.how.plain().flat(), template.flat()
    of_data = ("resize", "scores") if protocol.data is None else ()
    if "none" in (own["prompts.synonyms"], reference["prompts.synonyms"]) or (
        protocol.data is None and reference["prompts.synonyms"] == "max"
    ):  # the treatment of synonyms has no effect, or is not known without data
        reference["prompts.synonyms"] = own["prompts.synonyms"]
    return {
        key: value
        for key, value in own.items()
        if value != reference[key] and key.partition(".")[0] not in of_data
    }


def _distance(differences: Mapping[str, Any], is_chosen: bool) -> int:
    """Number of groups of fields that differ, plus one; 0 if none does.

    The chosen protocol has at most distance 1, so only an exact match of another is closer.
    """
    groups = len({key.partition(".")[0] for key in differences})
    if not groups:
        return 0
    return 1 if is_chosen else 1 + groups


def _summary(differences: Mapping[str, Any]) -> str:
    """Text such as ``views.stride=192, ...``, without fields that follow from others."""
    follows = {"resize.short", "canvas.size", "background.name"} & {
        key for key, value in differences.items() if value is None
    }
    if differences.get("views.mode") == "whole":
        follows.add("views.mode")
    silent = {key.partition(".")[0] for key in follows}
    return ", ".join(
        f"{key}={templates_name(value) if key == 'prompts.templates' else value}"
        for key, value in differences.items()
        if key in follows or key.partition(".")[0] not in silent or value is not None
    )


def _published() -> tuple[NamedProtocol, ...]:
    """Protocols of the section "Published" of docs/protocols.md."""
    mapper = Resize(short=640, longest=2560)
    windows = Views("slide", 384, 256, True, "probs", "sigmoid")
    eighty = Prompting(load_templates("imagenet_80"), "average")
    cat_seg = ProtocolTemplate(
        Prompting(load_templates("cat_seg"), "first"), mapper, Canvas(640), windows
    )
    sed = ProtocolTemplate(eighty, mapper, Canvas(768))
    one_view = ProtocolTemplate(
        replace(eighty, synonyms="max"),
        views=Views(activation="softmax"),
        scores=Scoring(absent="union"),
    )
    regions = ProtocolTemplate(
        Prompting(load_templates("vild_14"), "verbatim"),
        mapper,
        Canvas(640, keep_ratio=True, longest=2560),
        Views(activation="none"),
    )
    fc_clip = regions.changed(
        {
            "prompts.synonyms": "max",
            "resize": Resize(short=800, longest=1333),
            "canvas": Canvas(800, keep_ratio=True, longest=1333),
        }
    )
    ovseg = regions.changed(
        {
            "resize": Resize(short=512, longest=2048),
            "canvas": Canvas(512, keep_ratio=True, longest=2048),
        }
    )
    groups = ProtocolTemplate(
        Prompting(load_templates("single"), "first"),
        canvas=Canvas(448, keep_ratio=True, longest=2048),
        views=Views("slide", 448, 224, False, "probs", "none"),
    )
    learned = Prompting(("{}.",), "verbatim")
    select = Prompting(load_templates("zegformer"), "average")
    zegclip = ProtocolTemplate(
        Prompting(load_templates("zegclip"), "verbatim"),
        canvas=Canvas(512, keep_ratio=True),
        views=Views("slide", 512, 426, False, "probs"),
        scores=Scoring(absent="union"),
    )
    scales = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    lseg = ProtocolTemplate(
        Prompting(("{}",), "first"),
        canvas=Canvas(520),
        views=Views("multi_scale", 480, 320, None, "logits", "softmax", scales, True),
    )
    spnet = lseg.changed({"canvas": Canvas(513), "views": Views(activation="softmax")})
    one_prompt = Prompting(("a photo of a {}",), "verbatim")
    return (
        NamedProtocol("cat_seg", cat_seg, "paper and code of CAT-Seg"),
        NamedProtocol("sed", sed, "paper and code of SED"),
        NamedProtocol(
            "dcp_clip", replace(cat_seg, prompts=eighty), "paper of DCP-CLIP (inferred: as CAT-Seg)"
        ),
        NamedProtocol("dpseg", sed, "paper of DPSeg (as SED)"),
        *training_free_protocols(),
        NamedProtocol("gem", one_view.changed({"canvas.size": 448}), "GEM, one view"),
        NamedProtocol("clip_surgery", one_view.changed({"canvas.size": 512}), "CLIP Surgery"),
        NamedProtocol("san", regions, "code of SAN, EBSeg, SCAN and OVSeg (Swin-B)"),
        NamedProtocol("fc_clip", fc_clip, "code of FC-CLIP"),
        NamedProtocol("ovseg", ovseg, "code of OVSeg (R101c)"),
        NamedProtocol("zsseg", replace(ovseg, prompts=learned), "code of ZSSeg and DeOP"),
        NamedProtocol("groupvit", groups, "code of GroupViT"),
        NamedProtocol("zegformer", replace(regions, prompts=select), "code of ZegFormer"),
        NamedProtocol("spnet", spnet, "code of SPNet, and of ZS3Net at the same size"),
        NamedProtocol("lseg", lseg, "code of LSeg (ADE20K)"),
        NamedProtocol("zegclip", zegclip, "code of ZegCLIP (COCO-Stuff)"),
        NamedProtocol("zegclip_voc", replace(zegclip, prompts=one_prompt), "code of ZegCLIP (VOC)"),
    )


def _mini() -> tuple[NamedProtocol, ...]:
    """Protocols of the mini world: one view at the size of its scenes."""
    mini = ProtocolTemplate(Prompting(load_templates("single"), "first"), canvas=Canvas(96))
    streets = {"canvas": Canvas((240, 320)), "views": Views("slide", 192, 128, True, "probs")}
    return (
        *_world("mini", mini, "the mini world"),
        NamedProtocol("mini_camvid", mini.changed(streets), "street images for the mini CLIP"),
        *_world("mini_web", mini.changed({"canvas.size": 80}), "the mini world for mini_web"),
    )


def _world(name: str, one: ProtocolTemplate, source: str) -> tuple[NamedProtocol, ...]:
    """Protocols of one size of scenes, named after `name`, from the one with a single prompt."""
    seven = Prompting(load_templates("imagenet_7"), "average")
    free = one.changed({"views.activation": "softmax", "prompts.synonyms": "max"})
    regions = one.changed({"views.activation": "none"})
    return (
        NamedProtocol(name, one, f"{source}, one prompt"),
        NamedProtocol(f"{name}_7", replace(one, prompts=seven), f"{source}, seven prompts"),
        NamedProtocol(f"{name}_training_free", free, f"{source}, training-free methods"),
        NamedProtocol(f"{name}_regions", regions, f"{source}, methods that compare regions"),
    )
