"""Any part with any method: what is compatible runs and obeys the laws.

The parts are those of all bundled mini configs, so new ones are covered automatically. Encoders are
the real ones. Their features are cached, because every composition encodes the same images. There
are more than ten thousand compositions, so the kinds that a test does not name take turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from ovss.models.build import build_model
from ovss.models.configs import load_config, shipped_configs
from ovss.models.parts import KINDS, Part, compose, compositions, find_parts
from ovss.segmentor import OpenVocabSegmentor, score_tensors
from ovss.structures import ImageFeatures, TextFeatures
from ovss.testing import (
    LAWS,
    ground_truth_survives_training,
    labels_have_no_influence_at_inference,
    loss_and_prediction_work,
    make_images,
    make_names,
    more_than_255_categories_work,
    post_processing_keeps_what_is_certain,
)

CONCERNED = {
    more_than_255_categories_work: set(KINDS) - {"encoder"},  # hundreds of names take it long
    ground_truth_survives_training: {"selector", "head", "decoder"},
    post_processing_keeps_what_is_certain: {"decoder", "post_processor"},
    labels_have_no_influence_at_inference: {"decoder"},  # whose config names the segmentor
}
"""Kinds of parts that a law depends on, where not on all."""

Chosen = tuple[Part, ...]


class Workshop:
    """Every composition of the mini configs' parts; each part is built once and shared."""

    def __init__(self) -> None:
        names = [name for name in shipped_configs() if "mini" in name]
        parts = find_parts({name: load_config(name) for name in names})
        # upper bounds read the labels, which these images do not have
        parts = [part for part in parts if not getattr(part.module, "reads_labels", False)]
        self.fitting: list[Chosen] = []
        self.refused: list[tuple[Chosen, list[str]]] = []
        for chosen, problems in compositions(parts):
            if problems:
                self.refused.append((chosen, problems))
            else:
                self.fitting.append(chosen)
        self.modules = {id(part): self._module(part) for part in parts}
        self._covering: dict[frozenset[str], list[Chosen]] = {}

    def covering(self, kinds: set[str]) -> list[Chosen]:
        """Few compositions that cover the parts of these kinds, see `covering_every_pair`."""
        key = frozenset(kinds)
        if key not in self._covering:
            self._covering[key] = covering_every_pair(self.fitting, kinds)
        return self._covering[key]

    def model(self, chosen: Chosen) -> OpenVocabSegmentor:
        modules = {part.kind: self.modules[id(part)] for part in chosen}
        return build_model({**compose(chosen), **modules}).eval()

    def _module(self, part: Part) -> torch.nn.Module:
        torch.manual_seed(0)
        options = part.block["encoder"] if part.kind == "encoder" else part.options
        module = KINDS[part.kind].build(options).eval()
        if part.kind == "encoder":
            for layer in module.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.momentum = 0.0  # training must not change features that are cached
            # proposals have more sources at inference than in training
            module.encode_image = caching(
                module.encode_image, lambda image_B3HW: (module.training, *image_key(image_B3HW))
            )
            module.encode_text = caching(module.encode_text, lambda vocabulary: vocabulary)
        for (
            parameter
        ) in module.parameters():  # parameters that start at zero could hide a broken law
            if part.kind != "encoder" and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
        return module


def image_key(image_B3HW: torch.Tensor):
    return image_B3HW.shape, image_B3HW.numpy().tobytes()


def caching(encode: Callable, key: Callable) -> Callable:
    """Caches features by input, as leaves of the graph, so that compositions share no gradients."""
    cache: dict = {}

    def cached_encode(value):
        if key(value) not in cache:
            with torch.no_grad():
                cache[key(value)] = leaves(encode(value))
        return cache[key(value)]

    return cached_encode


def leaves(features: ImageFeatures | TextFeatures) -> ImageFeatures | TextFeatures:
    if isinstance(features, TextFeatures):
        return features
    dense_BChw, proposals = features.dense_BChw.detach().requires_grad_(), features.proposals
    if proposals is not None:
        embed_BQSC = proposals.embed_BQSC.detach().requires_grad_()
        proposals = replace(proposals, embed_BQSC=embed_BQSC)
    return replace(features, dense_BChw=dense_BChw, proposals=proposals)


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    return Workshop()


def labels_an_image(model: OpenVocabSegmentor) -> None:
    scores = model.scores(make_images(1)[0], model.encode_vocabulary(make_names(5)))
    assert all(torch.isfinite(tensor).all() for tensor in score_tensors(scores))
    labels_HW = model.label_map(scores, (40, 50))
    assert labels_HW.shape == (40, 50)
    assert set(labels_HW.unique().tolist()) <= set(range(5))


def in_words(chosen: Chosen) -> str:
    return " + ".join(map(str, chosen))


def failures_of(check: Callable, workshop: Workshop, compositions: list[Chosen]) -> list[str]:
    found = []
    for chosen in compositions:
        try:
            check(workshop.model(chosen))
        except Exception as error:
            found.append(f"{in_words(chosen)}: {type(error).__name__}: {error}")
    return found


def test_every_part_of_every_method_fits_somewhere(workshop):
    used = {id(part) for chosen in workshop.fitting for part in chosen}
    assert used == set(workshop.modules)


@pytest.mark.slow
def test_what_fits_runs(workshop):
    chosen = one_of_each(workshop.fitting, {"encoder", "head", "decoder"})
    assert failures_of(labels_an_image, workshop, chosen) == []


@pytest.mark.slow
def test_what_fits_runs_with_every_selector(workshop):
    chosen = one_of_each(workshop.fitting, {"encoder", "selector", "head", "decoder"})
    assert failures_of(labels_an_image, workshop, chosen) == []


@pytest.mark.parametrize(
    "law",
    [loss_and_prediction_work, *(pytest.param(law, marks=pytest.mark.slow) for law in LAWS)],
    ids=lambda law: law.__name__,
)
def test_what_fits_trains_and_obeys_the_laws(workshop, law):
    """Every part, and every compatible pair of a selector, head and decoder, is tested.

    Where a law depends on some kinds only, those are enough.
    """
    kinds = CONCERNED.get(law, set(KINDS))
    assert failures_of(law, workshop, workshop.covering(kinds)) == []


def test_what_does_not_fit_says_why(workshop):
    first = {tuple(problems): chosen for chosen, problems in reversed(workshop.refused)}
    assert first
    for problems, chosen in first.items():
        with pytest.raises(ValueError, match="Incompatible components") as refusal:
            workshop.model(chosen)
        assert ". ".join(problems) in str(refusal.value), in_words(chosen)
        for problem in problems:
            assert sum(f"{part.name} " in problem for part in chosen) == 2, problem


def one_of_each(fitting: list[Chosen], kinds: set[str]) -> list[Chosen]:
    """One composition for each combination of parts of these kinds; other kinds take turns."""
    by_parts: dict[tuple[int, ...], list[Chosen]] = {}
    for chosen in fitting:
        key = tuple(id(part) for part in chosen if part.kind in kinds)
        by_parts.setdefault(key, []).append(chosen)
    return [same[turn % len(same)] for turn, same in enumerate(by_parts.values())]


def covering_every_pair(fitting: list[Chosen], kinds: set[str]) -> list[Chosen]:
    """Selects few compositions with every part, and every pair that matters, of these kinds."""
    covered = []
    for chosen in fitting:
        parts = [(part.kind, id(part)) for part in chosen if part.kind in kinds]
        pairs = itertools.combinations(parts, 2)
        covered.append({*((part,) for part in parts), *filter(_matters, pairs)})
    missing, covering = set().union(*covered), []
    while missing:
        best = max(range(len(fitting)), key=lambda i: len(covered[i] & missing))
        covering.append(fitting[best])
        missing -= covered[best]
    return covering


def _matters(pair: tuple[tuple[str, int], tuple[str, int]]) -> bool:
    """True if what one part does can depend on the other, beyond the shapes of the records.

    A post-processor sees what the decoder gives. An encoder does not know what follows, and runs
    with every head and decoder without the laws.
    """
    kinds = {kind for kind, _ in pair}
    return "encoder" not in kinds and ("post_processor" not in kinds or "decoder" in kinds)
