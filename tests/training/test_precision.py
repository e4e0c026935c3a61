"""Number types, checkpointing, compiling, averages: less memory or time, the same training."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from mmengine.hooks import EMAHook

from ovss.io.shapes_only import shapes_only
from ovss.models.build import build_model, build_segmentor
from ovss.models.checkpoint import CheckpointError, load_weights
from ovss.models.compilation import compile_modules, declared, matching
from ovss.models.configs import load_config
from ovss.models.parts import without_pretrained
from ovss.training.build import build_runner
from ovss.training.export import export_weights
from ovss.training.modules import save_memory
from ovss.training.precision import GuardedOptimWrapper, NonFiniteLossError
from tests.tiny_training import losses, tiny_config, train

SHORT = "train_cfg = dict(max_iters=4, val_interval=100)\n"


@pytest.mark.parametrize("amp", ["bfloat16", "float16"])
def test_mixed_precision_stays_near_full_precision_and_resumes(tmp_path, amp):
    config = tiny_config(tmp_path, SHORT)
    full = losses(train(config, tmp_path / "full"))
    mixed = losses(train(config, tmp_path / "mixed", "--amp", amp))
    assert mixed != full
    assert all(abs(mixed[step] - full[step]) < 0.02 for step in full)
    state = torch.load(tmp_path / "mixed/iter_4.pth", weights_only=False)
    assert all(value.dtype != getattr(torch, amp) for value in state["state_dict"].values())
    assert ("loss_scaler" in state["optimizer"]) == (amp == "float16")
    third = str(tmp_path / "mixed/iter_3.pth")
    again = losses(train(config, tmp_path / "again", "--amp", amp, "--resume", third))
    assert again == {4: mixed[4]}


def test_gradients_that_overflow_leave_the_step_out_and_halve_the_scale():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    wrapper = GuardedOptimWrapper(optimizer, amp="float16", clip_grad={"max_norm": 1.0})
    wrapper.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    wrapper.update_params((weight * torch.tensor([3.0, 4.0])).sum())
    assert torch.allclose(weight, torch.tensor([0.4, 0.2])), "unscaled, clipped to norm 1"
    before = weight.detach().clone()
    wrapper.update_params((weight * 1e38).sum())  # finite; four times its gradient is not
    assert torch.equal(weight, before)
    assert wrapper.scaler.get_scale() == 2.0


def test_a_number_type_there_is_not(tmp_path):
    weight = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="'bfloat16' or 'float16' or None, got 'float8'"):
        GuardedOptimWrapper(torch.optim.SGD([weight], lr=1.0), amp="float8")
    wrapper = GuardedOptimWrapper(torch.optim.SGD([weight], lr=1.0))
    with pytest.raises(NonFiniteLossError, match="The loss is inf"):
        wrapper.update_params(weight.sum() * torch.inf)


@pytest.mark.parametrize("name", ["cat_seg_mini", "sed_mini", "dcp_clip_mini", "dpseg_mini"])
def test_computing_again_gives_the_same_gradients(name):
    outside = {"bank": None, "encoder.pretrained": None}  # DPSeg's is around another
    inside = outside if name == "dpseg_mini" else {"pretrained": None}
    config = load_config(name, {f"model.encoder.{key}": value for key, value in inside.items()})
    model = build_segmentor(config, weights=None).train()
    again = copy.deepcopy(model)
    names = save_memory(again, True)
    assert any(name.startswith("encoder.") for name in names)
    assert any(name.startswith("decoder.") for name in names)
    assert again.state_dict().keys() == model.state_dict().keys()
    loss, same = (one_step(m) for m in (model, again))
    assert abs(loss - same) < 1e-6
    for (key, p), q in zip(model.named_parameters(), again.parameters()):
        if p.grad is not None:
            assert torch.allclose(p.grad, q.grad, rtol=1e-4, atol=1e-6), key


def one_step(model: torch.nn.Module) -> float:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    draw = torch.Generator().manual_seed(0)
    image_B3HW = torch.randint(0, 256, (2, 3, 96, 96), generator=draw).float()
    samples = []
    for _ in image_B3HW:
        sample = SegDataSample(metainfo={"vocabulary": ("cat", "grass", "sky")})
        labels_1HW = torch.randint(-1, 3, (1, 96, 96), generator=draw)
        sample.gt_sem_seg = PixelData(data=labels_1HW)
        samples.append(sample)
    torch.manual_seed(0)
    loss, _ = model.parse_losses(model(image_B3HW, samples, mode="loss"))
    loss.backward()
    return float(loss.detach())


def test_computing_again_by_config_is_the_same_curve(tmp_path):
    config = tiny_config(tmp_path, SHORT)
    plain = losses(train(config, tmp_path / "plain"))
    flags = ["--cfg-options", "gradient_checkpointing=True", "channels_last=True"]
    saving = losses(train(config, tmp_path / "saving", *flags))
    assert all(abs(saving[step] - plain[step]) < 1e-5 for step in plain)
    with pytest.raises(ValueError, match=r"No module name matches 'decoder\.layer\.\*'"):
        train(config, tmp_path / "x", "--cfg-options", "gradient_checkpointing=decoder.layer.*")


def test_patterns_match_whole_words():
    model = torch.nn.ModuleDict({"a": torch.nn.Sequential(torch.nn.ReLU(), torch.nn.ReLU())})
    assert list(matching(model, ["a.*"])) == ["a.0", "a.1"]
    assert list(matching(model, ["**"])) == ["a", "a.0", "a.1"]
    assert list(matching(model, ["*"])) == ["a"]
    assert not matching(model, ["b.*"], strict=False)


@pytest.mark.parametrize("name", ["cat_seg_mini", "sed_mini", "dpseg_mini", "dcp_clip_mini"])
@pytest.mark.parametrize("what", ["checkpointed", "compiled"])
def test_declared_patterns_match_modules(name, what):
    with shapes_only():
        model = build_model(without_pretrained(load_config(name).model.to_dict()))
    patterns = declared(model, what)
    assert {pattern.partition(".")[0] for pattern in patterns} >= {"encoder", "decoder"}
    assert all(matching(model, [pattern]) for pattern in patterns)


@pytest.mark.slow
def test_compiled_blocks_give_the_same_curve(tmp_path):
    config = tiny_config(tmp_path, SHORT)
    plain = losses(train(config, tmp_path / "plain"))
    compiled = losses(train(config, tmp_path / "run", "--cfg-options", "compile=True"))
    assert all(abs(compiled[step] - plain[step]) < 1e-4 for step in plain)


def test_compiling_names_what_it_compiles():
    model = build_segmentor(load_config("sed_mini", {"model.encoder.pretrained": None}), None)
    names = compile_modules(model, {"modules": "decoder.stages.*", "mode": "default"})
    assert names == ["decoder.stages.0", "decoder.stages.1", "decoder.stages.2"][: len(names)]
    assert compile_modules(model, None) == []


def test_the_average_of_weights_is_evaluated_saved_and_exported(tmp_path):
    momentum = 0.25
    config = load_config(tiny_config(tmp_path, SHORT), {"ema": dict(momentum=momentum)})
    runner = build_runner(config, tmp_path / "run")
    steps, seen = [], []
    watched = "decoder.embed.weight"
    take, evaluate = runner.call_hook, runner.model.val_step

    def call_hook(name, **options):
        if name == "after_train_iter":
            steps.append(runner.model.state_dict()[watched].clone())
        take(name, **options)

    def val_step(data):
        seen.append(runner.model.state_dict()[watched].clone())
        return evaluate(data)

    runner.call_hook, runner.model.val_step = call_hook, val_step
    runner.train()
    average = steps[0]
    for weights in steps[1:]:
        average = average * (1 - momentum) + weights * momentum
    assert torch.allclose(seen[-1], average, atol=1e-6)
    assert not torch.allclose(steps[-1], average, atol=1e-6)
    saved = torch.load(tmp_path / "run/iter_4.pth", weights_only=False)["state_dict"]
    assert torch.allclose(saved[watched], average, atol=1e-6)
    path = export_weights(runner, config)
    model = build_segmentor(config, weights=None)
    load_weights(model, path)
    assert torch.allclose(model.state_dict()[watched], average, atol=1e-6)
    assert torch.equal(runner.model.state_dict()[watched], steps[-1]), "training's own stay"
    with pytest.raises(CheckpointError, match=r"iter_4\.pth holds an average.*Set ema.*load_from"):
        build_runner(load_config(tiny_config(tmp_path, SHORT)), tmp_path / "run", resume="auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        usual = build_runner(load_config(tiny_config(tmp_path, SHORT)), tmp_path / "usual")
    assert not any(isinstance(hook, EMAHook) for hook in usual.hooks)
