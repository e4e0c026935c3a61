"""Tests of a CLIP during training: how well it names main objects, and how good its patches are."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.mini_world import MiniWorld, Scene, attributes_of, object_names

from .model import encode_image, encode_text, normalise
from .prompts import tokenise

#: Seed of the scenes of both tests. Training and the configs of the datasets use others.
TEST_SEED = 1_000_003
OBJECTS = object_names()
_TEMPLATE = "a photo of a {}."


def stacked(scenes: list[Scene]) -> Tensor:
    """Normalised images (B, 3, H, W) of scenes."""
    images = np.stack([scene.image for scene in scenes]).transpose(0, 3, 1, 2)
    return normalise(torch.from_numpy(np.ascontiguousarray(images)))


@torch.no_grad()
def name_embeddings(model: nn.Module, names: tuple[str, ...]) -> Tensor:
    """Unit-length embeddings (T, C) of categories, with one template."""
    return encode_text(model, tokenise([_TEMPLATE.format(name) for name in names]))


@torch.no_grad()
def main_object_naming(
    model: nn.Module,
    size: int,
    count: int,
    objects: tuple[int, int],
    leads: tuple[float, ...] = (1.0,),
) -> list[dict[str, float]]:
    """Accuracy of the nearest of all 540 object categories to the embedding of a whole image.

    ``top1`` and the attributes compare it with the largest visible object; ``any`` accepts every
    visible object.

    Args:
        model: CLIP.
        size: height and width of the images.
        count: number of images.
        objects: minimum and maximum number of objects in a scene.
        leads: for each, scenes count if their largest object has at least so many times the visible
            pixels of the next.

    Returns:
        Shares in 0..1 for each of `leads`; none if no scene counts.
    """
    world = MiniWorld("web", size=size, seed=TEST_SEED, length=count, objects=objects)
    scenes = [world[index] for index in range(count)]
    text = name_embeddings(model, OBJECTS)
    image = torch.cat(
        [model.encode_image(stacked(scenes[i : i + 50])) for i in range(0, count, 50)]
    )
    hits = []
    for guess, scene in zip((OBJECTS[i] for i in (image @ text.T).argmax(1)), scenes):
        main = max(scene.objects, key=lambda item: item.pixels)
        pairs = zip(attributes_of(guess), main.attributes)
        visible = [item.category for item in scene.objects if item.pixels > 0]
        hits.append([guess == main.category, guess in visible, *(a == b for a, b in pairs)])
    keys = ("top1", "any", "surface", "colour", "shape")
    shares, found = np.array(hits, float), np.array([_lead(scene) for scene in scenes])
    return [
        dict(zip(keys, shares[found >= lead].mean(0).round(4).tolist()))
        if (found >= lead).any() else {}
        for lead in leads
    ]  # fmt: skip


def _lead(scene: Scene) -> float:
    """Visible pixels of the largest object, as a multiple of those of the next."""
    first, *rest = sorted((item.pixels for item in scene.objects), reverse=True)
    return first / max(rest[0], 1) if rest else float("inf")


@torch.no_grad()
def dense_iou(
    model: nn.Module, vocabulary: str, size: int, count: int, objects: tuple[int, int]
) -> dict[str, float]:
    """Mean IoU in % of raw patch embeddings on `val` scenes, for three last blocks.

    Cosines with the category names are upsampled bilinearly and the best category of each pixel is
    taken. ``own`` and ``class`` replace the attention of the last block by its value path, added
    to the residual of the patch (MaskCLIP) or of the class token (CAT-Seg). ``vanilla`` leaves the
    block as it is. The mean is over the categories that occur.
    """
    world = MiniWorld("val", vocabulary, size=size, seed=TEST_SEED, length=count, objects=objects)
    text = name_embeddings(model, world.names)
    categories = len(world.names)
    table = {key: torch.zeros(categories, categories) for key in ("own", "class", "vanilla")}
    for start in range(0, count, 25):
        scenes = [world[index] for index in range(start, min(count, start + 25))]
        image = stacked(scenes)
        truth = torch.from_numpy(np.stack([scene.mask for scene in scenes])).long()
        for key, token_BNC in (
            ("own", encode_image(model, image, own=True)[1]),
            ("class", encode_image(model, image, own=False)[1]),
            ("vanilla", _last_tokens(model.visual, image)),
        ):
            guess = _label_maps(token_BNC @ text.T, size)
            pairs = (truth * categories + guess).flatten()
            table[key] += torch.bincount(pairs, minlength=categories**2).view(categories, -1)
    return {key: round(_mean_iou(confusion), 2) for key, confusion in table.items()}


def _last_tokens(visual: nn.Module, image_B3HW: Tensor) -> Tensor:
    """Unit-length joint embeddings (B, N, C) of the patches, as the unchanged tower gives them."""
    out = visual.forward_intermediates(image_B3HW, indices=1, normalize_intermediates=True)
    token_BDhw = out["image_intermediates"][-1]
    return F.normalize(token_BDhw.flatten(2).transpose(1, 2) @ visual.proj, dim=-1)


def _label_maps(score_BNT: Tensor, size: int) -> Tensor:
    """Index of the best category of each pixel, (B, H, W)."""
    side = int(score_BNT.shape[1] ** 0.5)
    score_BThw = score_BNT.transpose(1, 2).unflatten(2, (side, side))
    return torch.cat([
        F.interpolate(score[None], (size, size), mode="bilinear").argmax(1)
        for score in score_BThw
    ])  # fmt: skip


def _mean_iou(confusion: Tensor) -> float:
    hit, union = confusion.diag(), confusion.sum(0) + confusion.sum(1) - confusion.diag()
    occurs = confusion.sum(1) > 0
    return float(100 * (hit / union.clamp(min=1))[occurs].mean())
