"""Training recipes of the methods that compare regions, and the commands that their pages state."""

from __future__ import annotations

import re
import shlex

import pytest

from ovss.benchmark.complexity import on_meta
from ovss.cli.main import COMMANDS
from ovss.models.configs import load_config
from ovss.training.optim import NamedRules

PLUGINS = ("fc_clip", "san", "ebseg", "scan", "two_stage")
TO_960 = [int(0.1 * k * 640) for k in range(5, 16)]
TO_1280 = [int(0.1 * k * 640) for k in range(5, 21)]
RECIPES = {
    "ebseg_vit-b16": (1e-4, 0.05, 120000, 16, 640, TO_960),
    "ebseg_vit-l14": (8e-5, 0.05, 120000, 16, 640, TO_960),
    "scan_vit-b16": (6e-5, 0.01, 120000, 32, 640, TO_1280),
    "zegformer_r101": (1e-4, 1e-4, 60000, 32, 640, TO_960),
    "zsseg_r101c": (1e-4, 1e-4, 60000, 32, 640, TO_960),
    "ovseg_r101c": (2e-4, 1e-4, 120000, 32, 512, [800]),
    "ovseg_swin-b": (6e-5, 0.01, 120000, 32, 640, TO_1280),
    "deop_r101c": (2e-4, 1e-4, 60000, 16, 640, TO_960),
}
"""Config -> learning rate, weight decay, steps, images of a step, crop, short sides."""


@pytest.mark.parametrize("name", RECIPES)
def test_numbers_of_the_authors_recipes(name):
    config = load_config(name)
    lr, decay, steps, batch, crop, sizes = RECIPES[name]
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", lr, decay)
    assert config.optim_wrapper.clip_grad == dict(max_norm=0.01, norm_type=2)
    assert (config.train_cfg.max_iters, config.train_dataloader.batch_size) == (steps, batch)
    first, cropped, colours, _, padded, _ = config.train_dataloader.dataset.pipeline
    edges = [step for (step,) in first.transforms] if "transforms" in first else [first]
    assert [edge["size"] for edge in edges] == sizes
    assert {edge["max_size"] for edge in edges} == {1333 if sizes == [800] else 2560}
    assert (cropped.crop_size, colours.type) == ((crop, crop), "ColorAugSSD")
    assert padded == dict(type="Pad", size=(crop, crop), pad_val=dict(img=128, seg=-1))
    *warm_up, poly = config.param_scheduler
    assert (poly.type, poly.power, poly.end) == ("PolyLR", 0.9, steps)
    has_warm_up = name.startswith(("scan", "ovseg"))
    assert [(w.type, w.end, w.start_factor) for w in warm_up] == (
        [("LinearLR", 1500, 1e-6)] if has_warm_up else []
    )


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("ebseg_vit-b16", {"encoder.clip.visual.positional_embedding",
                           "encoder.sam.trunk.pos_embed"}),
        ("scan_vit-b16", set()),
    ],
)  # fmt: skip
def test_what_has_no_weight_decay(name, free):
    config = load_config(name)
    model = on_meta(config)
    wrapper = dict(config.optim_wrapper)
    groups = NamedRules(wrapper, dict(wrapper.pop("paramwise_cfg"))).groups(model)
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    trained = {n: decays[id(p)] for n, p in model.named_parameters() if p.requires_grad}
    queries = {f"encoder.queries.{part}.weight" for part in ("content", "position", "level")}
    tables = {n for n in trained if n.endswith("relative_position_bias_table")}
    without = {n for n, decay in trained.items() if decay == 0}
    assert without >= queries | tables | free
    decaying = ("head.void", "encoder.pixels.level_LD")
    assert not without & {*decaying, *(n for n in trained if n.startswith("encoder.fusion.norms"))}
    norms = without - queries - tables - free
    assert norms
    assert all(p.ndim == 1 for n, p in model.named_parameters() if n in norms)


def commands(repo_root):
    """Every ``ovss`` command of the pages and configs of the plugins, with its place."""
    for plugin in PLUGINS:
        folder = repo_root / "configs" / plugin
        for page in (repo_root / "plugins" / plugin / "README.md", *sorted(folder.glob("*.py"))):
            for line in page.read_text(encoding="utf-8").splitlines():
                found = re.match(r"\s*(?:\w+:\s+)?ovss (\w[\w-]* .*)", line)
                if found:
                    yield f"{page.parent.name}/{page.name}", found[1]


def test_commands_of_pages_and_configs_name_flags_that_exist(repo_root, capsys):
    flags: dict[str, str] = {}
    found = list(commands(repo_root))
    assert len(found) > 40
    for place, text in found:
        words = shlex.split(re.sub(r"\s{2,}\(.*|\[.*", "", text))
        command, arguments = words[0], words[1:]
        assert command in COMMANDS, place
        if command not in flags:
            flags[command] = _help(command, capsys)
        for word in arguments:
            if word.startswith("--"):
                assert re.search(rf"{word}\b", flags[command]), f"{place}: {text}"


def _help(command, capsys):
    from ovss.cli import main

    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out
