"""Config files: Python, YAML and JSON, their bases, and every key with values of wrong types."""

from __future__ import annotations

from .cases import ACCEPTED, ANYTHING, EITHER, REFUSED, Box, Call, Group
from .images import encoded, image_of
from .material import FAST, SEGMENT
from .odd import VALUES, as_json, damaged, nested

CONFIGS = Group("configs", weight=2)

MODEL = {
    "type": "OpenVocabSegmentor",
    "encoder": {"type": "TinyEncoder", "joint_dim": 8, "patch": 8, "image_size": 48},
    "selector": {"type": "KeepAll"},
    "head": {"type": "CosineHead"},
    "decoder": {"type": "UpsampleDecoder", "scale": 100.0},
    "prompts": {"templates": "single"},
    "inference": {"mode": "whole", "size": 48, "activation": "softmax"},
}
CONTENT = {"custom_imports": {"imports": ["ovss.testing"]}, "model": MODEL}

PATHS = (
    "model", "model.type", "model.encoder", "model.encoder.type", "model.encoder.joint_dim",
    "model.encoder.patch", "model.encoder.image_size", "model.encoder.level_dims",
    "model.selector", "model.selector.type", "model.head", "model.decoder", "model.decoder.scale",
    "model.prompts", "model.prompts.templates", "model.prompts.synonyms", "model.prompts.count",
    "model.inference", "model.inference.mode", "model.inference.size", "model.inference.window",
    "model.inference.activation", "model.inference.views_per_batch", "model.post_processor",
    "custom_imports", "custom_imports.imports", "weights", "load_from", "model.loss",
    "model.data_preprocessor",
)  # fmt: skip
TRAINED = (
    "optim_wrapper", "optim_wrapper.optimizer", "optim_wrapper.optimizer.lr",
    "optim_wrapper.clip_grad", "optim_wrapper.paramwise_cfg", "param_scheduler", "train_cfg",
    "train_cfg.max_iters", "train_cfg.val_interval", "train_cfg.micro_batch", "train_dataloader",
    "train_dataloader.batch_size", "train_dataloader.num_workers", "train_dataloader.dataset",
    "train_dataloader.dataset.type", "train_dataloader.dataset.length",
    "train_dataloader.dataset.pipeline", "train_dataloader.sampler", "val_dataloader",
    "test_dataloader", "test_dataloader.dataset", "test_evaluator", "val_evaluator",
    "default_hooks", "default_hooks.checkpoint", "default_hooks.checkpoint.interval",
    "custom_hooks", "randomness", "randomness.seed", "env_cfg", "log_level", "log_processor",
    "work_dir", "ema", "fsdp", "protocol", "default_scope", "launcher", "visualizer", "resume",
    "train_dataloader.dataset.sample_words", "train_dataloader.dataset.words",
)  # fmt: skip


def _config(box: Box, name: str, content: bytes | str, statuses: frozenset[int]) -> Call:
    box.write(name, content)
    return Call(("config", name), statuses, (name,))


@CONFIGS.each([".json", ".yaml", ".yml", ".py"])
def good(box: Box, ending: str) -> Call:
    content = FAST if ending == ".py" else as_json(CONTENT)  # JSON is YAML as well
    return _config(box, f"good{ending}", content, ACCEPTED)


@CONFIGS.each(
    [
        "", "model", "model = ", "model = dict(", "import sys\nsys.exit(0)\n", "exit()\n", "1/0\n",
        "raise SystemExit('no')\n", "model = undefined\n",
        "\tmodel = 1\n  x\n", "def f():\n    return f()\nf()\n", "model = f\n", "import absent\n",
        "model = open('nowhere').read()\n", "from ovss import nothing\n", "model = lambda: 1\n",
        "model = {1: 2}\n", "model = {(1, 2): 3}\n", "model = {None: 1}\n", "x = ['a' ** 2]\n",
        "model = dict(type=print)\n", "model = dict(type=dict)\n", "model = []\n", "model = None\n",
        "model = dict()\n", "_base_ = 3\n", "_base_ = None\n", "_base_ = ['odd.py']\n",
        "_base_ = 'odd.py'\n", "_base_ = ['']\n", "_base_ = ['/']\n", "_base_ = [None]\n",
        "_base_ = {'a': 1}\n", "_base_ = 'absent.py'\n", "_base_ = '../../../etc/passwd'\n",
        "_base_ = '{{$NO:}}/x.py'\n", "_base_ = '{{ fileDirname }}'\n", "x = '{{ _base_.y }}'\n",
        "_delete_ = True\n", "model = dict(_delete_=True)\n", "a = b = c = model = {'type': 1}\n",
        "\x00", "# -*- coding: nonsense -*-\n", "é = 1\n", "assert False\n", "model = ...\n",
        "import os\nos.chdir('/')\nmodel = 1\n", "print('x')\nmodel = dict(type='X')\n",
        "from mmengine import read_base\nwith read_base():\n    from .absent import *\n",
        "model = type('A', (), {})()\n", "model = " + nested(150) + "\n", "model = 1e999\n",
        "model = b'bytes'\n", "model = {1, 2}\n", "model = dict(a=1, a=2)\n", "return 1\n",
        "yield 1\n", "import warnings\nwarnings.warn('x')\n", "cfg = dict(model=1)\n",
        "model = '" + "x" * 50_000 + "'\n", "while True:\n    raise StopIteration\n",
    ]
)  # fmt: skip
def python(box: Box, content: str) -> Call:
    box.write("odd.py", content)
    return Call(("config", "odd.py"), REFUSED, quotes_python=True)


@CONFIGS
def bases_in_a_circle(box: Box) -> Call:
    box.write("a.py", "_base_ = ['b.py']\n")
    box.write("b.py", "_base_ = ['c.py']\n")
    return _config(box, "c.py", "_base_ = ['a.py']\n", REFUSED)


@CONFIGS.each(
    [
        "", "{", "[]", "null", "3", '"text"', "{}", '{"model": NaN}', '{"model": {"type": null}}',
        '{"_base_": ["odd.json"]}', '{"model": 1, "model": 2}', '{"": 1}', '{"1": {"2": 3}}',
        nested(20_000), '{"a":' * 20_000, "\ufeff{}", "{'a': 1}", '{"model": [1]}', "{} {}",
    ]
)  # fmt: skip
def json_text(box: Box, content: str) -> Call:
    return _config(box, "odd.json", content, REFUSED)


@CONFIGS.each(
    [
        "", "a: b: c", "- 1\n- 2\n", "1: 2\n", "null: 1\n", "? [1, 2]\n: 3\n", "a: &x [*x]\n",
        "a: *absent\n", "!!python/object/apply:os.system ['touch canary']\n", "\t- x\n",
        "%YAML 9\n",
        "model: !!binary abc\n", "model: 2001-01-01\n", "a: &a [x,x]\nb: &b [*a,*a]\nmodel: *b\n",
        "model: {type: .nan}\n", "--- 1\n--- 2\n", "model: {<<: 3}\n", "{a: [}", "true: 1\n",
        "!!python/name:os.system\n", "x: !!python/object/new:os.system ['touch canary']\n",
        "model: |\n  text\n", "a: " + "[" * 2_000 + "]" * 2_000,
    ]
)  # fmt: skip
def yaml_text(box: Box, content: str) -> Call:
    return _config(box, box.random.choice(("odd.yaml", "odd.yml")), content, REFUSED)


@CONFIGS.each([b"\xff\xfe", b"model = '\xe9'\n", b"\xef\xbb\xbfmodel = 1\n", b"\x00" * 100])
def odd_bytes(box: Box, content: bytes) -> Call:
    return _config(box, f"odd{box.random.choice(('.py', '.json', '.yaml'))}", content, REFUSED)


@CONFIGS.each(["odd.txt", "odd", "odd.PY", "odd.toml", "a b.py", "1.py", "a.b.py", "import.py"])
def odd_name(box: Box, name: str) -> Call:
    return _config(box, name, FAST, EITHER)


@CONFIGS.each(range(6))
def damaged_config(box: Box, number: int) -> Call:
    content = FAST.encode() if number % 2 else as_json(CONTENT).encode()
    return _config(
        box, "odd.py" if number % 2 else "odd.json", damaged(content, box.random), EITHER
    )


def _written(path: str, value: object) -> str:
    """Lines of a Python config that set a key in place of its earlier value."""
    first, *keys = path.split(".")
    lines = [f"{first} = dict({first}) if isinstance({first}, dict) else {{}}"] if keys else []
    text = first
    for key in keys[:-1]:
        lines.append(f"{text}[{key!r}] = dict({text}.get({key!r}) or {{}})")
        text = f"{text}[{key!r}]"
    target = f"{text}[{keys[-1]!r}]" if keys else first
    shown = f"float({str(value)!r})" if isinstance(value, float) else repr(value)
    return "\n".join([*lines, f"{target} = {shown}", ""])


@CONFIGS.each(PATHS)
def key_of_a_model(box: Box, path: str) -> Call:
    first = path.partition(".")[0]
    start = "" if first in ("model", "custom_imports") else f"{first} = None\n"
    content = FAST + start + _written(path, box.random.choice(VALUES[:20]))
    box.write("odd.py", content)
    if box.random.random() < 0.5:
        return Call(("config", "odd.py"), EITHER)
    box.write("a.png", encoded(image_of("RGB"), "PNG"))
    return Call(("segment", "a.png", *SEGMENT, "--model", "odd.py"), EITHER)


@CONFIGS.each(TRAINED)
def key_of_a_training(box: Box, path: str) -> Call:
    box.write("train.py", (box.base / "train.py").read_bytes())
    first, *keys = path.split(".")
    value: object = box.random.choice(VALUES[:20])
    for key in reversed(keys):
        value = {key: value}
    shown = repr(value).replace("nan", "float('nan')").replace("inf", "float('inf')")
    box.write("odd.py", f"_base_ = ['train.py']\n{first} = {shown}\n")
    return Call(("config", "odd.py"), ANYTHING)
