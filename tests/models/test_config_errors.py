"""Mistakes in configs are reported in one line with the file, its line and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovss.models.config_source import ConfigError
from ovss.models.configs import load_config, read_config
from ovss.models.plugins import PluginError

BASED = '_base_ = ["cat_seg_mini.py"]\n'


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.py is empty"),
        ("model = dict(\nhead=1", r"mine.py, line 1: .*was never closed"),
        ("x_ = 1\nmodel = 1 / 0", r"mine.py, line 2: ZeroDivisionError"),
        ("import sys\nsys.exit(0)", r"mine.py, line 2: the config ends the program"),
        ("_base_ = 3", r"mine.py, line 1: _base_ must be a file name"),
        ('_base_ = ["mine.py"]', r"mine.py is its own base \(mine.py -> mine.py\)"),
        ('_base_ = ["other.py"]', r"own base \(mine.py -> other.py -> mine.py\)"),
        ("_a = '{{$NO_SUCH_VARIABLE:}}'", "environment variable NO_SUCH_VARIABLE"),
        ("text = 1", "mine.py: text is reserved"),
        (
            BASED + "model = dict(head=3)\ntrain_cfg = dict(max_iters=dict(a=1))",
            "max_iters is 2500 in the base",
        ),
        ('_base_ = ["cat_seg_mini.py", "sed_mini.py"]', "both set .*model"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, text, message):
    written(tmp_path, '_base_ = ["mine.py"]\n', "other.py")
    with pytest.raises(ConfigError, match=message):
        read_config(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("model = 3", ConfigError, "mine.py: model must be dict.*got 3"),
        ("work_dir = 'x'", ConfigError, "mine.py: model must be dict.*got None"),
        (BASED + "custom_imports = 3", ConfigError, "custom_imports in .*mine.py must be"),
        (
            BASED + "model = dict(encoder={3: 4})",
            ConfigError,
            "mine.py: Keys of model.encoder must",
        ),
        (BASED + "model = dict(head=3)", TypeError, "model.head must be dict"),
        (BASED + "model = dict(head=dict(_delete_=True))", KeyError, "model.head.type"),
        (
            BASED + "model = dict(selector=dict(_delete_=True, type='ClipTopK'))",
            TypeError,
            "'model.selector.k', which ClipTopK needs",
        ),
    ],
)
def test_a_model_that_cannot_be_built(tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        load_config(written(tmp_path, text))


def test_a_base_that_is_missing_is_named_with_what_works(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_config(written(tmp_path, '_base_ = ["cat_seg_nano.py"]'))
    for part in ("mine.py", "'cat_seg_nano.py'", "configs", '_base_ = ["cat_seg_mini.py"]', "{{$"):
        assert part in str(caught.value)


def test_a_bundled_base_is_found_by_name_and_a_file_in_the_folder_wins(tmp_path):
    for name in ("cat_seg_mini.py", "cat_seg_mini", "cat_seg/cat_seg_mini.py"):
        config = read_config(written(tmp_path, f"_base_ = {name!r}\nmodel = dict(head=dict(a=1))"))
        assert config.model.selector.type == "ClipTopK"
        assert config.model.head == dict(type="CosineHead", a=1)
    written(tmp_path, "model = dict(head=dict(b=2))", "cat_seg_mini.py")
    config = read_config(written(tmp_path, BASED))
    assert config.to_dict() == dict(model=dict(head=dict(b=2)))


@pytest.mark.parametrize("kind", ["selector", "head"])
def test_forgetting_delete_is_named(tmp_path, kind):
    block = dict(selector="dict(type='KeepAll')", head="dict(type='CosineHead')")[kind]
    base = dict(selector="cat_seg_mini.py", head="dcp_clip_mini.py")[kind]
    text = f"_base_ = [{base!r}]\nmodel = dict({kind}={block})"
    with pytest.raises(ConfigError, match=r"does not take .*which the base config set for") as e:
        load_config(written(tmp_path, text))
    assert "Add _delete_=True to replace the block" in str(e.value)
    replaced = text.replace("type=", "_delete_=True, type=")
    assert "k" not in load_config(written(tmp_path, replaced)).model[kind]


def test_forgetting_delete_on_the_command_line_suggests_an_override():
    wanted = {"model.selector.type": "KeepAll"}
    with pytest.raises(ConfigError, match=r"KeepAll does not take k.*model.selector._delete_=True"):
        load_config("cat_seg_mini", wanted)
    config = load_config("cat_seg_mini", {**wanted, "model.selector._delete_": True})
    assert config.model.selector.to_dict() == dict(type="KeepAll")


def test_delete_with_nothing_to_delete_leaves_no_mark(tmp_path):
    text = BASED + "model = dict(init_cfg=dict(_delete_=True, type='Normal'))"
    assert read_config(written(tmp_path, text)).model.init_cfg == dict(type="Normal")


def test_values_of_bases_can_be_read(tmp_path):
    text = BASED + "_k = {{_base_.model.selector.k}}\nmodel = dict(selector=dict(k=_k + 1))"
    text += "\n_name = '{{fileBasenameNoExtension}}'\n_twice = _base_.model.encoder.image_size * 2"
    config = read_config(written(tmp_path, text))
    assert (config.model.selector.k, config._name, config._twice) == (33, "mine", 192)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.selector.k.x": 3}, "model.selector.k.x"),
        ({"custom_hooks.9.type": "X"}, "custom_hooks.9.type"),
    ],
)
def test_an_override_that_leads_nowhere(overrides, message):
    with pytest.raises((ConfigError, TypeError), match=message):
        load_config("cat_seg_mini", overrides)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "a.json is truncated or not JSON .Expecting"),
        ("a.json", "[1]", "a.json must hold keys and values"),
        ("a.json", '{"_base_": ["a.json"]}', r"own base \(a.json -> a.json\)"),
        ("a.yaml", "_base_: 3", "_base_ must be a file name"),
        ("a.yaml", "3: 4", "a.yaml must hold keys and values"),
        ("a.yml", "", "a.yml is empty"),
        ("a.json", '{"x": "{{ _base_.y.z }}"}', "_base_.y.z, which its bases do not set"),
        ("a.txt", "model = 1", r"must end in .py, .json or .yaml or .yml"),
        ("a.py", "\0", "a.py"),
        ("a.py", "# only a comment", "a.py is empty"),
        ("a.py", "raise BaseException('x')", "line 1: the config ends the program"),
        ("a.py", "def f(): f()\nf()", "line 1: functions or values nest too deeply"),
        ("a.py", "_base_: list = 3", "_base_ must be a file name"),
        ("a.py", "x = []\nfor _ in range(9999): x = [x]", "nest too deeply"),
    ],
)
def test_a_file_of_any_form_that_cannot_be_read(tmp_path, name, text, message):
    with pytest.raises(ConfigError, match=message):
        read_config(written(tmp_path, text, name))


def test_json_and_yaml_read_bases_and_their_values(tmp_path):
    written(tmp_path, '{"_base_": "cat_seg_mini.py", "model": {"selector": {"k": 5}}}', "a.json")
    text = "_base_: [a.json]\n_k: '{{ _base_.model.selector.k }}'\n"
    text += "_name: '{{fileBasename}} {{_base_.weights}}'\n"
    config = read_config(written(tmp_path, text, "b.yaml"))
    assert (config._k, config.model.selector.to_dict()) == (5, dict(type="ClipTopK", k=5))
    assert config._name == "b.yaml cat_seg_mini.safetensors"


def test_a_folder_is_not_a_config(tmp_path):
    with pytest.raises(FileNotFoundError, match="is a folder, not a config"):
        load_config(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="is a saved model, but a config is expected"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "key",
    [
        "test_dataloader",
        "train_cfg",
        "optim_wrapper",
        "default_hooks",
        "env_cfg",
        "work_dir",
        "randomness",
        "custom_hooks",
        "test_evaluator",
        "visualizer",
        "resume",
        "protocol",
        "weights",
    ],
)
@pytest.mark.parametrize("value", ["3", "[1]", "''", "b'x'"])
def test_a_value_of_another_kind_names_its_key(tmp_path, key, value):
    with pytest.raises(ConfigError, match=rf"mine.py: {key} must be"):
        load_config(written(tmp_path, f"model = dict()\n{key} = {value}"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.inference.size": (1, 2, 3)}, r"inference.size must be an integer, 2 integers"),
        ({"model.selector.k": "x"}, "model.selector.k must be an integer, got 'x'"),
        ({"model.selector.k": True}, "model.selector.k must be an integer, got True"),
        ({"model.selector.k": float("nan")}, "model.selector.k must be an integer, got nan"),
        ({"model.encoder.type": 3}, "model.encoder.type must be the name of a encoder, got 3"),
        ({"model.data_preprocessor": 3}, "model.data_preprocessor must be dict"),
        ({"train_cfg.max_iters": {"a": 1}}, "max_iters is 2500 in the base"),
        ({"custom_hooks.0": 3}, r"custom_hooks.0 must be dict"),
        ({"custom_imports.modules": "x"}, "custom_imports in .* has the unknown key 'modules'"),
    ],
)
def test_a_value_of_another_type_names_its_key(overrides, message):
    with pytest.raises((ConfigError, TypeError), match=message):
        load_config("cat_seg_mini", overrides)


def test_a_plugin_that_ends_the_program_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "leaving_plugin.py").write_text("import sys\nsys.exit(0)")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "model = dict()\ncustom_imports = dict(imports=['leaving_plugin'])"
    with pytest.raises(PluginError, match="raised SystemExit: 0"):
        load_config(written(tmp_path, text))
