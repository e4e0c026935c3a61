"""Numbers of a training that would silently train nothing are refused with their key."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from ovss.models.configs import load_config, override
from ovss.training.ranges import check_numbers
from ovss.training.run_options import check_run_options
from ovss.training.validation import check_builds

NAN = float("nan")


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("cat_seg_mini")


def changed(config: Config, key: str, value: object) -> Config:
    copy = Config(config.to_dict())
    override(copy, {key: value})
    return copy


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("optim_wrapper.clip_grad.max_norm", (0, -1, NAN, "x", None, True)),
        ("optim_wrapper.optimizer.lr", (0, -1e-3, NAN, float("inf"), "x", None)),
        ("optim_wrapper.optimizer.betas", ((1.0, 0.9), (0.9, -0.1), 3, (), (NAN, 0.9))),
        ("optim_wrapper.optimizer.weight_decay", (-1, NAN, "x")),
        ("optim_wrapper.accumulative_counts", (0, 1.5)),
        ("optim_wrapper.paramwise_cfg.custom_keys.encoder.lr_mult", (-1, "x")),
        ("train_cfg.max_iters", (0, -3, 2.5, "x", None, True)),
        ("train_cfg.val_interval", (0, -1, "x")),
        ("train_cfg.micro_batch", (0, -1, "x")),
        ("train_dataloader.batch_size", (0, -1, "x")),
        ("train_dataloader.num_workers", (-1, "x", None)),
        ("randomness.seed", (-1, 2**32, "x", 1.5)),
        ("default_hooks.logger.interval", (0, "x")),
    ],
)
def test_a_number_out_of_range_names_its_key(config, key, values):
    for value in values:
        with pytest.raises(ValueError, match=key.replace(".", r"\.")):
            check_numbers(changed(config, key, value))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("randomness.sed", 1, "Unknown config key 'randomness.sed'. Did you mean 'seed'"),
        ("randomness.deterministic", "x", "must be True or False"),
        ("env_cfg.mp_cfg.start", 1, "Unknown config key 'env_cfg.mp_cfg.start'"),
        ("env_cfg.dist_cfg.init_method", "x", "Unknown config key 'env_cfg.dist_cfg.init_method'"),
        ("optim_wrapper.clip_grad.maximum", 1, "Unknown config key 'optim_wrapper.clip_grad.max"),
        (
            "optim_wrapper.paramwise_cfg.keys",
            1,
            "Unknown config key 'optim_wrapper.paramwise_cfg.k",
        ),
    ],
)
def test_an_unknown_option_of_a_run_names_its_key(config, key, value, message):
    with pytest.raises(TypeError, match=message):
        check_run_options(changed(config, key, value))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data_preprocessor.sample_words", -1, "sample_words must be at least 1, got -1"),
        ("model.inference.size", (0, 96), "inference.size must be at least 1, got 0"),
        ("model.decoder.chunk", 0, "CATSegDecoder.chunk must be at least 1, got 0"),
        ("train_dataloader.type", "X", "train_dataloader takes no type"),
        ("optim_wrapper.type", "Nope", "Unknown optim_wrapper 'Nope' in optim_wrapper.type"),
    ],
)
def test_a_config_with_such_a_value_does_not_build(config, key, value, message):
    with pytest.raises((ValueError, TypeError, KeyError), match=message):
        check_builds(changed(config, key, value))


def test_every_value_of_the_bundled_recipe_passes(config):
    check_numbers(config)
    check_run_options(config)


def test_empty_clipping_and_sizes_beyond_every_memory_are_refused(config):
    with pytest.raises(TypeError, match=r"clip_grad\.max_norm"):
        check_run_options(changed(config, "optim_wrapper.clip_grad", {"_delete_": True}))
    for size, message in ((10**30, "64 bits"), ((10**30, 4), "1 to 1048576")):
        with pytest.raises(ValueError, match=message):
            check_builds(changed(config, "model.inference.size", size))
