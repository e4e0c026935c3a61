"""Costs of methods that compare regions are counted without pixels, labels or files."""

from __future__ import annotations

import pytest

from ovss.benchmark.complexity import complexity
from ovss.models.configs import load_config

LEARNABLE = {"maskformer_mini": 467_153, "oracle_mini": 0, "two_stage_mini": 467_153}


@pytest.fixture(scope="module")
def costs():
    return {
        name: complexity(load_config(name), ("cat",), image_size=(96, 96)) for name in LEARNABLE
    }


def test_parameters_and_operations(costs):
    assert {name: cost.learnable for name, cost in costs.items()} == LEARNABLE
    # the merging of masks counts
    assert all(cost.stages["decoder"].per_image > 0 for cost in costs.values())


def test_crops_cost_a_pass_of_the_tower_for_each_region(costs):
    oracle, dense, crops = (
        costs[name].stages["encoder"].per_image
        for name in ("oracle_mini", "maskformer_mini", "two_stage_mini")
    )
    # 16 crops of 64 pixels have 65 tokens, the image of 96 pixels has 145; attention has less
    assert 5 < (crops - dense) / oracle < 16 * 65 / 145
