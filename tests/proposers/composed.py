"""A tiny method that compares the regions of a proposer."""

from __future__ import annotations

import torch

from ovss.models.build import build_model


def region_method(proposer, levels=(), **encoder):
    """Builds a method with a small encoder, in evaluation mode."""
    torch.manual_seed(0)
    return build_model(
        dict(
            encoder=dict(
                type="WithProposals",
                encoder=dict(type="TinyEncoder", level_dims=levels, **encoder),
                proposer=proposer,
                embedders=[dict(type="DensePool")],
            ),
            head=dict(
                type="RegionHead",
                joint_dim=16,
                scales=(20.0,) * (2 if proposer["type"] == "QueryProposer" else 1),
                void="normalized" if proposer["type"] == "QueryProposer" else "none",
            ),
            decoder=dict(type="ComposeDecoder"),
            inference=dict(activation="none"),
        )
    ).eval()
