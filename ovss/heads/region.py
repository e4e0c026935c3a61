"""Head of methods that compare regions, not cells, with the categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import AlignmentHead
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.ops import at_least_single, without_autocast
from ovss.registry import HEADS, check_arguments
from ovss.structures import (
    ImageFeatures,
    Proposals,
    RegionAlignment,
    Selection,
    TextFeatures,
)
from ovss.vocabularies import load_names
from ovss.vocabularies.seen import SeenNames

from .ensemble import Ensemble
from .synonyms import SynonymGroups, group_synonyms

ROWS = 512
"""Kept categories whose embeddings are averaged at a time."""
VOIDS = ("normalized", "plain", "none")


@HEADS.register_module()
class RegionHead(AlignmentHead):
    """Compares the embeddings of each proposal with the categories by scaled cosine.

    A learned vector stands for "no object" and competes with the categories. The first source gives
    the logits. At inference an ensemble may combine all sources. With ``synonyms="max"`` the
    highest logit of a category's synonyms counts for the category, before any softmax.

    Args:
        joint_dim: C, the number of channels of the embeddings.
        scales: factor from cosines to logits for each source; CLIP's own is 100.
        learn_scale: True if the factor of the first source is learned, as its logarithm.
        max_scale: upper bound of a learned factor.
        normalize: False for sources whose embeddings are used with the length that they have. One
            value holds for all sources.
        void: ``normalized`` compares the learned vector by cosine, ``plain`` by its scaled product
            with the normalised embeddings, ``none`` has no such vector.
        void_std: standard deviation of the vector's first values.
        trained: number of sources, counted from the first, whose logits train.
        templates: number of prompt templates of each source, in the order of the prompts; empty if
            every source is compared with the mean over all of them.
        ensemble: arguments of `ensemble.Ensemble`; None uses the first source alone.
        seen: categories of training for the ensemble, as a registered vocabulary, a text file or
            class names. A category counts as seen if it shares a synonym with one of them.

    Raises:
        ValueError: an argument out of range, or different numbers of sources.
    """

    needs_proposals = True
    gives = RegionAlignment
    merges_synonyms = True

    def __init__(
        self,
        joint_dim: int,
        scales: Sequence[float] = (100.0,),
        learn_scale: bool = False,
        max_scale: float = 100.0,
        normalize: Sequence[bool] = (True,),
        void: str = "normalized",
        void_std: float = 1.0,
        trained: int = 1,
        templates: Sequence[int] = (),
        ensemble: dict[str, Any] | None = None,
        seen: str | Sequence[str] = (),
    ) -> None:
        super().__init__()
        check_range("RegionHead", 1, joint_dim=joint_dim, trained=trained)
        sources = len(scales)
        if not scales or not all(0 < each < math.inf for each in (*scales, max_scale)):
            raise ValueError(
                f"RegionHead expects finite scales and max_scale above 0, got "
                f"{excerpt(list(scales))} and {max_scale}."
            )
        if not 0 <= void_std < math.inf:
            raise ValueError(f"RegionHead expects a finite void_std of at least 0, got {void_std}.")
        if void not in VOIDS:
            raise ValueError(f"RegionHead.void must be one of {VOIDS}, got {excerpt(void)}.")
        if len(normalize) not in (1, sources) or trained > sources:
            raise ValueError(
                f"RegionHead has {sources} sources, one for each of `scales`, got {len(normalize)} "
                f"values of normalize and trained={trained}."
            )
        if templates and (len(templates) != sources or min(templates) < 1):
            raise ValueError(
                f"RegionHead expects templates of at least 1 for each of its {sources} sources, "
                f"got {excerpt(list(templates))}."
            )
        self.joint_dim, self.proposal_sources = joint_dim, sources
        self.training_sources = trained
        self.templates, self.num_templates = tuple(templates), sum(templates) or None
        self.scales, self.max_scale, self.trained = tuple(scales), max_scale, trained
        self.normalize = tuple(normalize) * (sources if len(normalize) == 1 else 1)
        self.log_scale = nn.Parameter(torch.tensor(scales[0]).log()) if learn_scale else None
        self.void_kind = void
        self.void = None if void == "none" else nn.Parameter(torch.randn(joint_dim) * void_std)
        self.ensemble = _ensemble(ensemble, sources)
        self.seen = SeenNames(load_names(seen) if len(seen) else ())

    def forward(
        self, image: ImageFeatures, text: TextFeatures, selection: Selection
    ) -> RegionAlignment:
        """
        Raises:
            ValueError: features without proposals, or with another number of sources.
        """
        proposals = image.proposals
        if proposals is None:
            raise ValueError(
                "RegionHead expects ImageFeatures.proposals, got none. Wrap the encoder in "
                "WithProposals."
            )
        count = len(self.scales) if self.ensemble and not self.training else self.trained
        rows = self._rows(text, selection, count)
        groups = group_synonyms(text, selection)
        aligned = self._align(proposals, image, text, groups, rows)
        if self.training or self.ensemble is None:
            return aligned
        return self._combined(proposals, aligned, groups, rows)

    def _rows(self, text: TextFeatures, selection: Selection, count: int) -> list[Tensor]:
        """Embeddings (B, K, C) with which each of the first sources is compared."""
        if not self.templates:
            return [selection.gather(_unit_text(text))] * count
        rows: list[list[Tensor]] = []
        for index_Bk in selection.index_BK.split(ROWS, dim=1):  # bounds the memory
            parts = text.rows(index_Bk).float().split(self.templates, dim=2)
            rows.append([F.normalize(part_BkPC.mean(2), dim=2) for part_BkPC in parts[:count]])
        return [torch.cat(chunks, dim=1) for chunks in zip(*rows, strict=True)]

    def _align(
        self,
        proposals: Proposals,
        image: ImageFeatures,
        text: TextFeatures,
        groups: SynonymGroups,
        rows: list[Tensor],
    ) -> RegionAlignment:
        """Logits of the sources that train, for the last layer and for earlier ones."""
        logits_BKQ, void_BQ = self._logits(proposals.embed_BQSC, 0, rows[0])
        further = []
        # embedders may leave out earlier layers, whose proposals then have fewer sources
        trained = min(self.trained, proposals.embed_BQSC.shape[2]) if self.training else 1
        for source in range(1, trained):
            more_BKQ, more_BQ = self._logits(proposals.embed_BQSC, source, rows[source])
            further.append(torch.cat([groups.highest(more_BKQ), more_BQ[:, None]], dim=1))
        earlier = [self._align(layer, image, text, groups, rows) for layer in proposals.earlier]
        return RegionAlignment(
            groups.highest(logits_BKQ),
            void_BQ,
            image,
            text,
            groups.selection,
            tuple(further),
            tuple(earlier),
        )

    def _logits(self, embed_BQSC: Tensor, source: int, rows_BKC: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, K, Q) and void logits (B, Q) of one source."""
        embed_BQC = at_least_single(embed_BQSC[:, :, source])
        if self.normalize[source]:
            embed_BQC = F.normalize(embed_BQC, dim=2)
        scale: Tensor | float = self.scales[source]
        if source == 0 and self.log_scale is not None:
            scale = self.log_scale.exp().clamp(max=self.max_scale)
        # a logit of CLIP's scale in half precision would be off by 0.1
        with without_autocast(embed_BQC.device):
            logits_BKQ = scale * (rows_BKC.to(embed_BQC) @ embed_BQC.transpose(1, 2))
            if self.void is None:
                return logits_BKQ, logits_BKQ.new_full(embed_BQC.shape[:2], -torch.inf)
            void_C = F.normalize(self.void, dim=0) if self.void_kind == "normalized" else self.void
            return logits_BKQ, scale * (embed_BQC @ void_C.to(embed_BQC))

    def _combined(
        self,
        proposals: Proposals,
        first: RegionAlignment,
        groups: SynonymGroups,
        rows: list[Tensor],
    ) -> RegionAlignment:
        """Logarithms of the shares that the ensemble gives."""
        assert self.ensemble is not None
        assert first.void_BQ is not None
        logits, voids = [first.logits_BKQ], [first.void_BQ]
        for source in range(1, len(self.scales)):
            logits_BKQ, void_BQ = self._logits(proposals.embed_BQSC, source, rows[source])
            logits.append(groups.highest(logits_BKQ))
            voids.append(void_BQ)
        selection = groups.selection
        seen_BK = selection.gather(self._seen_T(first.text))
        shares_BKQ = self.ensemble.log_shares(
            logits, voids, seen_BK, selection.valid_BK, proposals.filled_BQ
        )
        return RegionAlignment(shares_BKQ, None, first.features, first.text, selection)

    def _seen_T(self, text: TextFeatures) -> Tensor:
        """True for each name whose category was seen in training, bool (T,)."""
        seen_T = text.seen_T(self.seen)
        if seen_T is None:
            return torch.zeros(text.num_categories, dtype=torch.bool, device=text.device)
        return seen_T


def _unit_text(text: TextFeatures) -> Tensor:
    """Normalised mean (T, C) of the embeddings of each category; with gradient if it has one."""
    return F.normalize(text.trained_mean_TC.float(), dim=1)


def _ensemble(options: dict[str, Any] | None, sources: int) -> Ensemble | None:
    if options is None:
        return None
    check_arguments(Ensemble, dict(options))
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    ensemble = Ensemble(**fields)
    if len(ensemble.seen) != sources:
        raise ValueError(
            f"RegionHead has {sources} sources, one for each of `scales`, but its ensemble has "
            f"{len(ensemble.seen)} exponents."
        )
    return ensemble
