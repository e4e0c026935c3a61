"""Encoder that adds regions to the features of another encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ovss.interfaces import Encoder, PromptTower, Proposer, RegionEmbedder
from ovss.registry import EMBEDDERS, ENCODERS, PROPOSERS
from ovss.structures import ImageFeatures, Proposals, TextFeatures, Vocabulary


@ENCODERS.register_module()
class WithProposals(Encoder):
    """Adds proposals to the features of any encoder.

    The sources of a proposal's embeddings are those of the proposer, followed by those of the
    embedders.

    Args:
        encoder: config of the encoder.
        proposer: config of a `Proposer`, which gives the masks.
        embedders: configs of `RegionEmbedder`s, which embed the masked regions.
        embed_in_training: True to run the embedders in training as well. False saves their time if
            only the proposer's embeddings train.

    Raises:
        ValueError: a proposer or embedder that does not fit the encoder, or no embeddings at all.
    """

    def __init__(
        self,
        encoder: dict,
        proposer: dict,
        embedders: Sequence[dict] = (),
        embed_in_training: bool = False,
    ) -> None:
        super().__init__()
        self.encoder: Encoder = ENCODERS.build(encoder)
        self.proposer: Proposer = PROPOSERS.build(proposer)
        self.embedders = nn.ModuleList(EMBEDDERS.build(embedder) for embedder in embedders)
        self.proposal_sources = self.proposer.sources + len(self.embedders)
        self.embed_in_training = embed_in_training or not self.proposer.sources
        if not self.embed_in_training:
            self.training_sources = self.proposer.sources
        self._check()
        self.gives_proposals = True
        self.joint_dim = self.encoder.joint_dim
        self.level_dims, self.level_scales = self.encoder.level_dims, self.encoder.level_scales
        self.gives_attention = self.encoder.gives_attention
        self.class_attention_dim = self.encoder.class_attention_dim
        self.text_level_dims = self.encoder.text_level_dims
        self.reads_labels = self.proposer.reads_labels
        self.needs_whole_image = self.proposer.needs_whole_image
        inner = (f"encoder.{beginning}" for beginning in self.encoder.learned)
        self.learned = ("proposer", "embedders", *inner)
        self.checkpointed = _inner(self, "checkpointed")
        self.compiled = _inner(self, "compiled")

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images, with proposals.

        Args:
            image_B3HW: RGB in 0..255.
        """
        features = self.encoder.encode_image(image_B3HW)
        proposals = self.proposer(features, image_B3HW)
        if self.embed_in_training or not self.training:
            proposals = self._embedded(features, image_B3HW, proposals)
        return replace(features, proposals=proposals)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template, see the wrapped encoder."""
        return self.encoder.encode_text(vocabulary)

    def prompt_tower(self) -> PromptTower | None:
        return self.encoder.prompt_tower()

    def _embedded(
        self, features: ImageFeatures, image_B3HW: Tensor, proposals: Proposals
    ) -> Proposals:
        """Proposals with the embeddings of the embedders."""
        sources, filled_BQ = [proposals.embed_BQSC], proposals.filled_BQ
        for embedder in self.embedders:
            embed_BQC, has_pixels_BQ = embedder(self.encoder, features, image_B3HW, proposals)
            sources.append(embed_BQC[:, :, None].to(proposals.embed_BQSC.dtype))
            filled_BQ = has_pixels_BQ if filled_BQ is None else filled_BQ & has_pixels_BQ
        return replace(proposals, embed_BQSC=torch.cat(sources, dim=2), filled_BQ=filled_BQ)

    def _check(self) -> None:
        """Checks that the proposer and the embedders fit the encoder."""
        encoder, proposer = self.encoder, self.proposer
        scales = encoder.level_scales or (1,) * len(encoder.level_dims)
        needs_grid = bool(proposer.level_dims) and not proposer.any_level_scale
        on_grid = (1,) * len(scales)
        wrong = [
            f"{type(proposer).__name__} expects {name}={needs}, but {type(encoder).__name__} "
            f"produces {name}={gives}"
            for name, needs, gives in (
                ("joint_dim", proposer.joint_dim, encoder.joint_dim),
                ("level_dims", proposer.level_dims, encoder.level_dims),
                ("level_scales", on_grid if needs_grid else None, scales),
            )
            if needs is not None and needs != gives
        ]
        embedder: RegionEmbedder
        for embedder in self.embedders:  # type: ignore[assignment]
            if embedder.tower and embedder.tower != encoder.tower:
                wrong.append(
                    f"{type(embedder).__name__} expects tower={embedder.tower}, but "
                    f"{type(encoder).__name__} produces tower={encoder.tower or 'none'}"
                )
        if not self.proposal_sources:
            wrong.append(
                f"{type(proposer).__name__} gives masks without embeddings, so that `embedders` "
                f"needs at least one"
            )
        if wrong:
            raise ValueError(f"Incompatible components: {'; '.join(wrong)}.")


def _inner(encoder: WithProposals, attribute: str) -> tuple[str, ...]:
    """Patterns of module names of the wrapped parts, as seen from the wrapper."""
    parts = {
        "encoder": encoder.encoder,
        "proposer": encoder.proposer,
        **{f"embedders.{i}": part for i, part in enumerate(encoder.embedders)},
    }
    return tuple(
        f"{name}.{pattern}" if pattern else name
        for name, part in parts.items()
        for pattern in getattr(part, attribute)
    )
