"""`ovss config` prints the final config and rejects a broken one, as every command does."""

from __future__ import annotations

import json
import re

import pytest
from mmengine.config import Config

from ovss.cli import main
from ovss.cli.options import parse_overrides
from ovss.models.configs import load_config, shipped_configs


def one_line(capsys) -> str:
    """Error line of a command that failed."""
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_it_prints_the_final_config(capsys):
    options = ["--cfg-options", "model.selector.k=7"]
    assert main(["config", "cat_seg_mini", *options]) == 0
    expected = load_config("cat_seg_mini", {"model.selector.k": 7}).to_dict()
    assert Config.fromstring(capsys.readouterr().out, ".py").to_dict() == expected
    assert main(["config", "cat_seg_mini", "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["selector"]["k"] == 7


@pytest.mark.parametrize("name", [n for n in shipped_configs() if n.endswith(("mini", "-b"))])
def test_bundled_configs_pass_without_files(capsys, monkeypatch, name):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OVSS_DATA", "nowhere")
    assert main(["config", name]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("optim_wraper.type=X", "Did you mean 'optim_wrapper'?"),
        ("model.decoder.type=CATSegDecodr", "CATSegDecoder"),
        ("model.decoder.dims=3", "'model.decoder.dims'. Did you mean 'dim'?"),
        ("model.decoder.joint_dim=99", "joint_dim"),
        ("model.type=OpenVocabSegmenter", "Did you mean 'OpenVocabSegmentor'?"),
        ("model.inference.mode=slid", "slid"),
        ("train_dataloader.dataset.type=MiniWorldData", "Did you mean 'MiniWorldDataset'?"),
        ("train_dataloader.dataset.vocabulary=mini_55", "mini_5"),
        ("train_dataloader.dataset.pipeline.0.type=RandomFlop", "Did you mean 'RandomFlip'?"),
        ("train_dataloader.sampler.type=EndlessSample", "Did you mean 'EndlessSampler'?"),
        ("train_dataloader.batch_size=0", "train_dataloader.batch_size"),
        ("default_hooks.timer.type=IterTimeHook", "Did you mean 'IterTimerHook'?"),
        ("custom_hooks.0.sead=3", "custom_hooks.0.sead"),
        ("optim_wrapper.optimizer.type=AdamX", "Did you mean 'Adam"),
        ("optim_wrapper.optimizer.type=SGD", "SGD does not take betas and eps"),
        ("optim_wrapper.paramwise_cfg.custom_keys.decodr.lr_mult=1", "decodr"),
        ("param_scheduler.0.type=CosineAnealingLR", "Did you mean 'CosineAnnealingLR'?"),
        ("test_evaluator.type=OpenVocabIOU", "Did you mean 'OpenVocabIoU'?"),
        ("test_evaluator.absent=both", "absent must be one of"),
        ("protocol=mimi", "mini"),
        ("test_cfg.type=ResumableLoop", "Did you mean 'ResumableTestLoop'?"),
        ("matmul_precision=fast", "matmul_precision"),
        ("ema=3", "ema"),
    ],
)
def test_what_cannot_be_built_is_refused(capsys, option, message):
    assert main(["config", "cat_seg_mini", "--cfg-options", option]) == 1
    assert message in one_line(capsys)


def test_the_example_of_the_readme_works_as_printed(repo_root, tmp_path, monkeypatch, capsys):
    examples = re.findall(
        r"```python\n(_base_ = .*?)```", (repo_root / "README.md").read_text(), re.S
    )
    assert examples
    monkeypatch.chdir(tmp_path)
    for example in examples:
        (tmp_path / "mine.py").write_text(example)
        assert main(["config", "mine.py"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        "model.selektor.k=3",
        "model.selector.kk=3",
        "model.selector.type=KeepAl",
        "model.selector.type=KeepAll",
        "model.inference.siz=96",
        "model.prompts.template=single",
        "modle.selector.k=3",
    ],
)
def test_every_command_reports_a_mistake_with_one_message(tmp_path, capsys, option):
    (tmp_path / "x.png").touch()
    commands = (
        ["train", "cat_seg_mini", "--dry-run"],
        ["test", "cat_seg_mini", "--work-dir", str(tmp_path / "run")],
        ["segment", str(tmp_path / "x.png"), "--words", "a, b", "--model", "cat_seg_mini"],
        ["config", "cat_seg_mini"],
    )
    commands[2].extend(["--out", str(tmp_path / "out")])
    messages = set()
    for command in commands:
        assert main([*command, "--cfg-options", option]) == 1
        messages.add(one_line(capsys))
    assert len(messages) == 1, messages


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64),
        ("1e-3", 1e-3),
        ("true", True),
        ("None", None),
        ("ViT-B-16", "ViT-B-16"),
        ("a/b (1).pt", "a/b (1).pt"),
        ("a photo of a {}.", "a photo of a {}."),
        ("{}", "{}"),
        ("1,2", [1, 2]),
        ("don't,x", ["don't", "x"]),
        ("(512, 640)", (512, 640)),
        ("(1)", (1,)),
        ("'[1,2]'", [1, 2]),
        ("[(1, 2), [a, b], c]", [(1, 2), ["a", "b"], "c"]),
        ("(1,2),(3,4)", [(1, 2), (3, 4)]),
        ("['a, b', \"it's\"]", ["a, b", "it's"]),
        ("[{'b':1},{'c':2}]", [{"b": 1}, {"c": 2}]),
        ("[dict(x=1, y=dict(z=(1, a)))]", [{"x": 1, "y": {"z": (1, "a")}}]),
        ("f(1,2)", "f(1,2)"),
    ],
)
def test_values_of_config_options(text, value):
    assert parse_overrides([f"a.b={text}"]) == {"a.b": value}


@pytest.mark.parametrize(
    "pair", ["a", "=1", "a..b=1", "a=[(1,2]", "a=[1,2", "a={b, c}", "a=['b, c]", "a=" + "[" * 1999]
)
def test_values_that_cannot_be_read(pair):
    if pair.endswith("[["):
        pair += "]" * 1999
    with pytest.raises(ValueError, match=r"expected KEY=VALUE|cannot read the value of a: "):
        parse_overrides([pair])
