"""Nothing read from data runs code: no such call in the sources, and no effect of such files."""

from __future__ import annotations

import ast
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from ovss.io.weight_files import CheckpointError, read_weights
from ovss.models.config_source import ConfigError
from ovss.models.configs import load_config, read_config
from ovss.training.build import build_runner
from ovss.training.checkpoint_reader import POINTER, find_checkpoint, read_training_checkpoint
from tests.tiny_training import tiny_config, train

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [path for folder in ("ovss", "plugins") for path in sorted((ROOT / folder).rglob("*.py"))]
CONFIG_READERS = {"ovss/models/config_reader.py", "ovss/models/config_source.py"}
"""Files that run configs which the user names: configs are programs."""
READERS = {"load", "loads"}


def calls(path: Path) -> Iterator[tuple[str, dict[str, ast.expr], ast.Call]]:
    """Dotted name, keyword arguments and node of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            keywords = {each.arg: each.value for each in node.keywords if each.arg}
            yield ast.unparse(node.func), keywords, node


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def problem(name: str, keywords: dict[str, ast.expr], relative: str) -> str:
    """What is wrong with a call; empty if nothing is."""
    root, _, last = name.rpartition(".")
    is_pickle = root in ("pickle", "cPickle", "dill", "cloudpickle", "marshal", "joblib", "shelve")
    rules = {
        "unpickles": is_pickle and last in {*READERS, "open"},
        "loads without weights_only=True": name == "torch.load"
        and not is_constant(keywords.get("weights_only"), True),
        "downloads without weights_only=True": last == "load_state_dict_from_url"
        and not is_constant(keywords.get("weights_only"), True),
        "runs text": name in ("eval", "exec") and relative not in CONFIG_READERS,
        "loads YAML that may name objects": root == "yaml"
        and (last in ("unsafe_load", "full_load", "load_all") or last == "load")
        and "Safe" not in ast.unparse(keywords.get("Loader", ast.Constant(""))),
        "unpickles arrays": "allow_pickle" in keywords
        and not is_constant(keywords["allow_pickle"], False),
        "uses a shell": name in ("os.system", "os.popen", "subprocess.getoutput")
        or ("shell" in keywords and not is_constant(keywords["shell"], False)),
        "reads by mmengine": name in ("mmengine.load", "fileio.load", "Config.fromstring"),
    }
    return next((text for text, holds in rules.items() if holds), "")


@pytest.mark.parametrize(
    ("code", "is_wrong"),
    [
        ("torch.load(p)", True),
        ("torch.load(p, weights_only=False)", True),
        ("torch.load(p, weights_only=True)", False),
        ("pickle.loads(b)", True),
        ("yaml.load(t)", True),
        ("yaml.load(t, Loader=yaml.SafeLoader)", False),
        ("np.load(p, allow_pickle=True)", True),
        ("np.load(p, allow_pickle=False)", False),
        ("subprocess.run(c, shell=True)", True),
        ("os.system(c)", True),
        ("eval(t)", True),
        ("model.eval()", False),
    ],
)
def test_the_rules_find_what_they_should(tmp_path, code, is_wrong):
    (tmp_path / "x.py").write_text(code)
    ((name, keywords, _),) = list(calls(tmp_path / "x.py"))
    assert bool(problem(name, keywords, "x.py")) == is_wrong


def test_no_source_runs_code_from_data():
    wrong = []
    for path in SOURCES:
        relative = path.relative_to(ROOT).as_posix()
        for name, keywords, node in calls(path):
            if found := problem(name, keywords, relative):
                wrong.append(f"{relative}:{node.lineno} {name} {found}")
    assert not wrong


def test_every_unpickler_names_what_it_accepts():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(
                ast.unparse(base).endswith("Unpickler") for base in node.bases
            ):
                methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                assert {"find_class", "persistent_load"} <= methods, f"{path}: {node.name}"


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Folder with a config and a run of two iterations."""
    folder = tmp_path_factory.mktemp("trained")
    train(tiny_config(folder, "train_cfg = dict(max_iters=2)"), folder / "run")
    return folder


def test_a_checkpoint_that_runs_code_is_refused(trained, tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "bad.pth"
    content = torch.load(trained / "run" / "iter_2.pth", weights_only=False)
    content["meta"]["extra"] = Touch(canary)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="not read because it could run code"):
        read_training_checkpoint(path)
    config = load_config(trained / "tiny.py")
    with pytest.raises(CheckpointError, match="could run code"):
        build_runner(config, tmp_path / "run", resume=str(path))
    with pytest.raises(CheckpointError, match="not read for safety"):
        read_weights(path)
    with pytest.raises(CheckpointError, match="not read for safety"):
        CheckpointLoader.load_checkpoint(str(path), "cpu")
    with pytest.raises(CheckpointError, match="Weights must be a file"):
        CheckpointLoader.load_checkpoint("s3://bucket/bad.pth", "cpu")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("owner", "name"), [(mmengine.logging.HistoryBuffer, "__init__"), (np.ndarray, "mean")]
)
def test_names_of_attributes_in_a_checkpoint_give_no_way_out(trained, tmp_path, owner, name):
    """The list of names of mmengine has `getattr`, which reaches everything."""

    class Escape:
        def __reduce__(self):
            return getattr, (owner, name)

    content = torch.load(trained / "run" / "iter_2.pth", weights_only=False)
    content["meta"]["extra"] = Escape()
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="Unsupported attribute"):
        read_training_checkpoint(tmp_path / "bad.pth")


def test_the_config_text_in_a_checkpoint_is_not_run(trained, tmp_path):
    """mmengine runs `meta.config` as a program when it resumes."""
    canary, run = tmp_path / "canary", tmp_path / "run"
    shutil.copytree(trained / "run", run)
    content = torch.load(run / "iter_2.pth", weights_only=False)
    content["meta"]["config"] = f"import pathlib\npathlib.Path({str(canary)!r}).touch()"
    torch.save(content, run / "iter_2.pth")
    train(trained / "tiny.py", run, "--resume", "--cfg-options", "train_cfg.max_iters=3")
    assert not canary.exists()
    assert read_training_checkpoint(run / "iter_3.pth")["meta"]["iter"] == 3


@pytest.mark.parametrize("text", ["/etc/passwd", "../iter_1.pth", "", "a\0b", "x" * 5000, "link"])
def test_the_last_checkpoint_is_a_file_of_its_folder(tmp_path, text):
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "iter_1.pth").write_bytes(b"")
    (run / "link").symlink_to(tmp_path / "iter_1.pth")
    (run / POINTER).write_text(text)
    with pytest.raises(CheckpointError, match="must name a checkpoint file in"):
        find_checkpoint(run)


def test_the_last_checkpoint_of_a_moved_folder_is_found(tmp_path):
    (tmp_path / "iter_1.pth").write_bytes(b"")
    for text in (
        "/somewhere/else/iter_1.pth",
        "C:\\runs\\iter_1.pth",
        str(tmp_path / "iter_1.pth"),
    ):
        (tmp_path / POINTER).write_text(text)
        assert find_checkpoint(tmp_path) == tmp_path / "iter_1.pth"


@pytest.mark.parametrize("name", ["bad.yaml", "bad.yml"])
def test_yaml_holds_plain_values_only(tmp_path, name):
    canary, path = tmp_path / "canary", tmp_path / name
    path.write_text(f"model: !!python/object/apply:os.mkdir [{canary}]\n")
    with pytest.raises(ConfigError, match=f"{name} cannot be read"):
        read_config(path)
    (tmp_path / "mine.py").write_text(f"_base_ = ['{name}']\n")
    with pytest.raises(ConfigError, match=f"{name} cannot be read"):
        read_config(tmp_path / "mine.py")
    with pytest.raises(ValueError, match="expected YAML of plain values"):
        mmengine.load(path)
    assert not canary.exists()


def test_mmengine_does_not_unpickle_data(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(Touch(canary)))
    with pytest.raises(ValueError, match="is a pickle"):
        mmengine.load(path)
    assert not canary.exists()
