"""A result comes from anywhere: none of its values runs code, imports, unpickles or writes."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path

import pytest
from mmengine.registry import MODELS
from mmseg.registry import TRANSFORMS as MMSEG_TRANSFORMS

from ovss.models.config_source import ConfigError
from ovss.models.config_text import dump_config, read_config_text
from ovss.models.configs import load_config, override
from ovss.models.untrusted import UntrustedConfigError
from ovss.results.recorded_config import read_recorded_config
from ovss.training.build import build_runner
from tests.tiny_training import tiny_config

MODULE = "canary_for_results"


class Shout:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def canary(tmp_path, monkeypatch) -> Path:
    """File that appears if a module, its function, or a pickle in the folder is used."""
    path = tmp_path / "canary"
    (tmp_path / f"{MODULE}.py").write_text(
        f"from pathlib import Path\nPath({str(path)!r}).touch()\n"
        f"def fire(*a, **k): Path({str(path)!r}).touch()\n"
    )
    (tmp_path / MODULE).mkdir()
    (tmp_path / f"{MODULE}_scope").mkdir()
    (tmp_path / f"{MODULE}_scope" / "__init__.py").write_text(f"import {MODULE}")
    with open(tmp_path / "data.pkl", "wb") as file:
        pickle.dump(Shout(path), file)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield path
    for name in [name for name in sys.modules if name.startswith(MODULE)]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> str:
    """Config text of a result."""
    return dump_config(load_config(tiny_config(tmp_path_factory.mktemp("config"))))


def changed(text: str, key: str, value: object) -> str:
    config = read_config_text(text, "r.json")
    override(config, {key: value})
    return "".join(f"{name} = {value!r}\n" for name, value in config.to_dict().items())


FIRE = f"{MODULE}.fire"
REFUSED = {
    "model.type": FIRE,
    "model.encoder.type": FIRE,
    "model.head": {"_delete_": True, "type": ["os.system"], "command": "touch canary"},
    "model.decoder": {"_delete_": True, "type": "os.system", "command": "touch canary"},
    "model.selector": {"type": "mmengine.registry.Registry", "name": "x"},
    "model.post_processor": {"type": "Chain", "steps": [{"type": FIRE}]},
    "model.criterion": {"type": FIRE},
    "model.encoder.dense": {"type": MODULE},
    "model.encoder.pool_type": MODULE,
    "model.encoder.norm_type": FIRE,
    "model.encoder.norm": {"type": "BN", "inner": ({"deep": [{"type": FIRE}]},)},
    "model.init_cfg": {"type": "Pretrained", "checkpoint": "data.pkl"},
    "model.encoder.init_cfg": {"type": "Pretrained", "checkpoint": "http://x.invalid/y"},
    "model.encoder._scope_": f"{MODULE}_scope",
    "model.encoder.pretrained": "https://x.invalid/weights.pt",
    "model.data_preprocessor": {"type": FIRE},
    "data_preprocessor": {"_delete_": True, "type": FIRE},
    "custom_imports": {"imports": [MODULE]},
    "custom_imports.imports": ["os", MODULE],
    "test_dataloader.dataset": {"_delete_": True, "type": FIRE},
    "test_dataloader.dataset._scope_": f"{MODULE}_scope",
    "test_dataloader.dataset.type": f"{MODULE}_scope.X",
    "test_dataloader.dataset.backend_args": {"backend": "petrel"},
    "test_dataloader.sampler": {"_delete_": True, "type": FIRE},
    "test_dataloader.collate_fn": {"type": FIRE},
    "test_dataloader.worker_init_fn": {"type": "os.system", "command": "touch canary"},
    "test_dataloader.multiprocessing_context": "fork",
    "test_dataloader.dataset.pipeline": [{"type": "RandomResize", "scale": 3, "resize_type": FIRE}],
    "test_dataloader.dataset.pipeline.0": {
        "type": "RandomResize",
        "scale": 3,
        "resize_type": MODULE,
    },
    "test_cfg.type": FIRE,
    "test_evaluator": {"_delete_": True, "type": FIRE},
}
TRANSFORMS = {
    "albu": {"type": "Albu", "transforms": [{"type": "Blur"}]},
    "loader": {"type": "LoadBiomedicalData", "decode_backend": "pickle"},
    "nested": {"type": "RandomApply", "transforms": [{"type": "Compose", "transforms": {FIRE}}]},
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_value_that_could_run_code_is_refused(recorded, canary, monkeypatch, key):
    monkeypatch.chdir(canary.parent)
    text = changed(recorded, key, REFUSED[key])
    with pytest.raises(ConfigError, match=r"r\.json"):
        read_recorded_config(text, "r.json")
    assert not canary.exists()
    assert MODULE not in sys.modules


@pytest.mark.parametrize("name", ["albu", "loader"])
def test_a_transform_that_could_run_code_is_refused(recorded, name):
    text = changed(recorded, "test_dataloader.dataset.pipeline", [TRANSFORMS[name]])
    with pytest.raises(UntrustedConfigError, match=r"pipeline\.0\.type"):
        read_recorded_config(text, "r.json")


def test_a_data_set_that_reads_a_pickle_is_refused(recorded):
    dataset = {"_delete_": True, "type": "BaseSegDataset", "ann_file": "data.pkl"}
    with pytest.raises(UntrustedConfigError, match=r"dataset\.type"):
        read_recorded_config(changed(recorded, "test_dataloader.dataset", dataset), "r.json")
    for name in ("data.pkl", "DATA.PKL", "data.Pickle "):
        text = changed(recorded, "test_dataloader.dataset.ann_file", name)
        with pytest.raises(UntrustedConfigError, match="such files can run code"):
            read_recorded_config(text, "r.json")


@pytest.mark.parametrize("module", ["ovss_canary", "ovss_plugins.sedan", "ovss.__main__"])
def test_a_module_with_a_similar_name_is_refused(recorded, module):
    text = changed(recorded, "custom_imports.imports", [module])
    with pytest.raises(UntrustedConfigError, match="belongs to none of the installed plugins"):
        read_recorded_config(text, "r.json")


def test_every_class_of_a_name_must_be_trusted(recorded, monkeypatch):
    """A build may find a class in the registry of the scope before the one of this package."""
    text = changed(recorded, "test_dataloader.dataset.pipeline", [{"type": "PackSample"}])
    read_recorded_config(text, "r.json")
    monkeypatch.setitem(MMSEG_TRANSFORMS.module_dict, "PackSample", Shout)
    with pytest.raises(UntrustedConfigError, match=r"pipeline\.0\.type"):
        read_recorded_config(text, "r.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("custom_hooks", [{"type": "os.system", "command": "touch canary"}]),
        ("custom_hooks", [{"type": FIRE}]),
        ("default_hooks.logger", {"type": FIRE}),
        ("default_hooks.checkpoint.out_dir", "elsewhere"),
        ("visualizer", {"_delete_": True, "type": FIRE, "save_dir": "elsewhere"}),
        ("visualizer.vis_backends", [{"type": "WandbVisBackend"}]),
        ("log_processor.type", FIRE),
        ("default_scope", f"{MODULE}_scope"),
        ("load_from", "data.pkl"),
        ("resume", True),
        ("work_dir", "elsewhere"),
        ("launcher", "pytorch"),
        ("model_wrapper_cfg", {"type": FIRE}),
        ("optim_wrapper", {"_delete_": True, "type": FIRE}),
        ("env_cfg.dist_cfg", {"backend": "gloo", "init_method": "tcp://x.invalid"}),
        ("compile", {"backend": FIRE}),
        (
            "test_evaluator",
            [{"type": "OpenVocabIoU"}, {"type": "DumpResults", "out_file_path": "x"}],
        ),
        ("test_cfg.resume", True),
    ],
)
def test_what_an_evaluation_does_not_read_is_dropped(recorded, canary, monkeypatch, key, value):
    monkeypatch.chdir(canary.parent)
    config = read_recorded_config(changed(recorded, key, value), "r.json")
    runner = build_runner(config, canary.parent / "run", testing=True)
    assert not canary.exists()
    assert MODULE not in sys.modules
    assert not Path("elsewhere").exists()
    assert [type(metric).__name__ for metric in runner.test_evaluator.metrics] == ["OpenVocabIoU"]


def test_the_canary_is_alive(canary):
    """The same values do run code without the check."""
    MODELS.build({"type": FIRE})
    assert canary.exists()


def test_the_configs_of_bundled_methods_pass():
    for name in ("cat_seg_mini", "dcp_clip_mini", "sed_mini", "dpseg_mini", "naclip_pamr_mini"):
        text = dump_config(load_config(name))
        assert read_recorded_config(text, "r.json").model.type, name


@pytest.mark.parametrize("text", ["model = [" * 500, "x = {[]: 1}", "x = -'a'", "filename = 1"])
def test_text_that_cannot_be_read_is_an_error_of_one_sentence(text):
    with pytest.raises(ValueError, match=r"The config in r\.json"):
        read_recorded_config(text, "r.json")
