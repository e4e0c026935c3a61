"""Names that the codes of training-free methods query instead of the class names.

Several names of a class are separated by commas; each is a query of its own. The lists are facts
about the codes. Most names of two words are written as one, such as "trafficlight".
"""

from __future__ import annotations

from collections.abc import Mapping

from ovss.vocabularies import load_names

__all__ = ["clearclip_names", "corrclip_names", "proxyclip_names", "sclip_names"]

Names = dict[str, Mapping[str, str]]
"""Names by dataset and class; a class without an entry keeps its name."""

JOINED = ("ade20k_150", "cityscapes", "coco_stuff_171")

NEAR = (
    "sky, wall, tree, wood, grass, road, sea, river, mountain, sands, desk, bed, building, cloud, "
)
STUFF = NEAR + (
    "lamp, door, window, wardrobe, ceiling, shelf, curtain, stair, floor, hill, rail, fence"
)
"""Names that stand for background. In COCO-Object "bed" is a class as well, which loses every tie
to background, as it does in the codes."""

DRESSED = (
    "person, person in shirt, person in jeans, person in dress, person in sweater, "
    "person in skirt, person in jacket"
)
SCREENS = "television monitor, tv monitor, monitor, television, screen"
OBJECTS = {"boat": "ship", "diningtable": "table"}
"""Names of two classes of VOC."""

PEOPLE = {"person": "people"}


def sclip_names() -> Names:
    """Names of SCLIP, NACLIP and SC-CLIP."""
    voc = {**OBJECTS, "person": DRESSED, "tvmonitor": SCREENS}
    return {
        **_common(),
        "pascal_voc_20": voc,
        "pascal_voc_21": {**voc, "background": STUFF},
        "coco_object": {"background": STUFF, "person": f"{DRESSED}, body"},
    }


def clearclip_names() -> Names:
    """Names of ClearCLIP, whose background in VOC21 has no other name."""
    return {**proxyclip_names(), "pascal_voc_21": {**OBJECTS, "background": "background"}}


def proxyclip_names() -> Names:
    """Names of ProxyCLIP, where background alone has several."""
    return {
        **_common(),
        "pascal_voc_20": OBJECTS,
        "pascal_voc_21": {**OBJECTS, "background": STUFF},
        "coco_object": {"background": NEAR + "floor, hill, rail"},
    }


def corrclip_names() -> Names:
    """Names of CorrCLIP: those of ProxyCLIP, with "people" for persons."""
    names: Names = {name: {**words, **PEOPLE} for name, words in proxyclip_names().items()}
    return names


def _common() -> Names:
    """Names that all codes share."""
    joined = {
        name: {each: each.replace(" ", "") for each in load_names(name) if " " in each}
        for name in JOINED
    }
    table = {"diningtable": "table"}
    return {**joined, "pascal_context_59": table, "pascal_context_60": table}
