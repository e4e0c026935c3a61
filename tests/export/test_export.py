"""An exported model gives the results of the model that it was made from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="needs the extra: pip install 'ovss[export]'")
pytest.importorskip("onnxscript", reason="needs the extra: pip install 'ovss[export]'")

from ovss.api.inferencer import Inferencer
from ovss.cli.main import main
from ovss.export import onnx_graph
from ovss.export.description import DESCRIPTION, ExportDescription, ExportError
from ovss.export.run import VIEW_GRAPH, ExportedModel
from ovss.export.text_encoder import TEXT_GRAPH, TOKENIZER
from ovss.export.text_table import TEXT_TABLE, TextTable
from ovss.export.write import export_model
from ovss.io.images import to_rgb
from ovss.io.outputs import save_png
from tests.export.exporting import assert_equal_scores, assert_equal_stages, scene, text_of

WORDS = "red square|crimson box, disc, blue triangle, grass, brick wall"


@pytest.fixture(scope="module")
def method() -> Inferencer:
    return Inferencer("naclip_mini", device="cpu")


@pytest.fixture(scope="module")
def folder(method, tmp_path_factory):
    place = tmp_path_factory.mktemp("exports") / "naclip"
    export_model(method, place, WORDS, background="water")
    return place


@pytest.fixture(scope="module")
def exported(folder) -> ExportedModel:
    return ExportedModel(folder, threads=1)


@pytest.mark.parametrize("count", [1, 2, 5, 150, 556, 2000])
def test_scores_are_those_of_the_model(method, exported, count):
    assert_equal_scores(method, exported, text_of(method, count), scene())


def test_results_are_those_of_the_inferencer(method, exported):
    found = exported(scene())
    expected = method(scene(), WORDS, background="water")
    assert found.categories == expected.categories
    assert (found.label_map == expected.label_map).mean() > 0.999
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    assert found.note == expected.note
    assert found.warnings == expected.warnings
    assert found.model == "naclip_mini"


def test_categories_change_after_the_export(method, exported):
    rules = {"background": "zebra, moon", "threshold": 0.06, "probabilities": True}
    for words in ("green ring, sand, ivy", ["purple star, violet star", "gravel"], "mini_20"):
        found, expected = (run(scene(1), words, **rules) for run in (exported, method))
        assert found.categories == expected.categories
        assert (found.label_map == expected.label_map).mean() > 0.995
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-3)


def test_the_same_names_with_another_background(method, exported):
    for words, background in (("disc, grass, sand", None), ("disc", "grass, sand"), ("disc", None)):
        found, expected = (run(scene(), words, background=background) for run in (exported, method))
        assert found.categories == expected.categories
        assert (found.label_map == expected.label_map).mean() > 0.995
        assert found.warnings == expected.warnings


def test_images_of_any_size_and_several_at_once(method, exported):
    wide = np.concatenate([scene(0), scene(1)[:, :60]], axis=1)
    results = list(exported.many([scene(0), wide], "disc, grass, sand"))
    assert [result.label_map.shape for result in results] == [(96, 96), (96, 156)]
    assert results[0].stem != results[1].stem
    expected = method(wide, "disc, grass, sand")
    assert (results[1].label_map == expected.label_map).mean() > 0.995


@pytest.mark.parametrize("rule", ["first", "average", "verbatim", "max"])
def test_every_rule_for_synonyms(rule, tmp_path):
    method = Inferencer("naclip_mini", device="cpu", synonyms=rule)
    names = ("red square, crimson box", "disc", "grass, lawn, meadow")
    text = method.encode(names)
    table = TextTable(names, 0, text.vocabulary, text.embeds_TPC.numpy())
    table.save(tmp_path / TEXT_TABLE)
    again = TextTable.load(tmp_path / TEXT_TABLE)
    assert again.vocabulary == table.vocabulary
    assert np.array_equal(again.embeds_TPC, table.embeds_TPC)
    part = again.subset((names[2], names[0]), 1)
    assert part.categories == names[2:]
    assert part.owner_T.tolist() == ([0, 0, 0, 1, 1] if rule == "max" else [0, 1])


def test_tokens_and_embeddings_are_those_of_open_clip(method, exported):
    names = tuple(f"{word} {number}" for number, word in enumerate(
        ("it's a dog's life", "Crème brûlée", "cafe\u0301", "日本語", "smile 😀", "A&amp;B", "½")
    ))  # fmt: skip
    expected = method.encode(names).embeds_TPC.numpy()
    np.testing.assert_allclose(exported.encode(list(names)).embeds_TPC, expected, atol=1e-4)
    with pytest.raises(ExportError, match=r"'word word.*takes at most 77\. Shorten the name"):
        exported.encode(["word " * 90])


NO_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "mmengine", "mmcv", "mmseg", "open_clip", "timm"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
from ovss.export.command import main

sys.exit(main(sys.argv[1:]))
"""


def test_the_runner_needs_no_torch(method, folder, tmp_path, repo_root):
    from PIL import Image

    with (tmp_path / "scene.png").open("wb") as file:
        save_png(Image.fromarray(scene()), file)
    image, out = tmp_path / "scene.png", tmp_path / "out"
    command = [sys.executable, "-c", NO_TORCH, str(folder), str(image), "--out", str(out)]
    command += ["--words", "disc, red square, grass", "--format", "labels,json,overlay"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("scene_labels.png\n")
    labels_HW = np.asarray(Image.open(out / "scene_labels.png"))
    expected = method(to_rgb(image), "disc, red square, grass").label_map
    assert (labels_HW == expected).mean() > 0.999
    done = subprocess.run(
        [*command[:4], "missing.png"], cwd=repo_root, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_vocabulary_without_text_encoder_has_its_names_only(method, folder, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    content = json.loads((copied / DESCRIPTION).read_text())
    for name in (TEXT_GRAPH, TOKENIZER):
        (copied / name).unlink()
        del content["files"][name]
    (copied / DESCRIPTION).write_text(json.dumps(content | {"context_length": 0}))
    exported = ExportedModel(copied)
    found, expected = (run(scene(), ["grass", "disc"]) for run in (exported, method))
    assert (found.label_map == expected.label_map).mean() > 0.999
    with pytest.raises(ExportError, match="has no 'tree', and the model was exported without"):
        exported(scene(), "grass, tree")


def test_damaged_folders_are_refused(folder, tmp_path):
    with pytest.raises(ExportError, match="is not an exported model: it has no file export"):
        ExportedModel(tmp_path)
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    good = json.loads((copied / DESCRIPTION).read_text())
    view = (copied / VIEW_GRAPH).read_bytes()

    def refused(match: str) -> None:
        with pytest.raises(ExportError, match=match):
            ExportedModel(copied)

    (copied / VIEW_GRAPH).write_bytes(view[:-1])
    refused("view.onnx has another content than when it was exported")
    (copied / VIEW_GRAPH).unlink()
    refused("view.onnx is missing. Copy the whole folder")
    (copied / VIEW_GRAPH).write_bytes(view)
    for change, match in (
        ({"format": 2}, "it has format 2, and this version of ovss reads 1"),
        ({"view": [96]}, "view of ExportDescription"),
        ({"extra": 1}, "the key 'extra' is unknown"),
        ({"files": {"../x": "0"}}, "the file name '../x' leads out of the folder"),
        ({"inference": {**good["inference"], "mode": "magic"}}, "inference mode must be"),
        ({"regions": {"ownership": 5}}, "ownership of RegionLayout"),
    ):
        (copied / DESCRIPTION).write_text(json.dumps(good | change))
        refused(match)
    (copied / DESCRIPTION).write_text("{")
    refused("is truncated or not JSON")
    (copied / DESCRIPTION).write_text(json.dumps(good))
    broken = dict(good["files"])
    (copied / VIEW_GRAPH).write_bytes(b"no graph")
    with pytest.raises(ExportError, match=r"view\.onnx cannot be opened by onnxruntime"):
        ExportedModel(copied, verify=False)
    with pytest.raises(ExportError, match="backend must be onnxruntime or openvino, got 'magic'"):
        ExportedModel(folder, backend="magic")
    assert broken.keys() == {VIEW_GRAPH, TEXT_GRAPH, TOKENIZER, TEXT_TABLE}


def test_methods_that_the_runner_does_not_have(tmp_path):
    def refused(match: str, name: str = "naclip_mini", **overrides) -> None:
        changes = {f"model.{key.replace('__', '.')}": value for key, value in overrides.items()}
        method = Inferencer(name, device="cpu", overrides=changes)
        with pytest.raises(ExportError, match=match):
            export_model(method, tmp_path / "out", "cat, dog")

    slides = {"inference__mode": "slide", "inference__window": 64, "inference__stride": 32}
    refused("set model.inference.merge=probs", **slides, inference__merge="features",
            inference__global_view=False)  # fmt: skip
    refused("set model.inference.activate_at=canvas", inference__activate_at="image")
    refused("State the size of your images", inference__keep_ratio=True)
    refused("several embeddings of a category", "dpseg_mini")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_export_leaves_nothing(method, tmp_path):
    next(method.model.parameters()).requires_grad_(True)

    def stop(text: str) -> None:
        if text == "writing the text embeddings":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(method, tmp_path / "out", WORDS, text_encoder=False, report=stop)
    assert list(tmp_path.iterdir()) == []
    assert next(method.model.parameters()).requires_grad
    next(method.model.parameters()).requires_grad_(False)


def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(onnx_graph, "LARGEST", 0)  # as if the weights were too large for one file
    out = tmp_path / "out"
    command = ["export", "maskclip_mini", "--out", str(out), "--words", "disc, grass"]
    assert main([*command, "--no-text-encoder"]) == 0
    assert "python -m ovss.export.run" in capsys.readouterr().out
    description = ExportDescription.read(out)
    assert description.files.keys() == {VIEW_GRAPH, f"{VIEW_GRAPH}.data", TEXT_TABLE}
    assert ExportedModel(out)(scene()).categories == ("disc", "grass")
    assert main(command) == 1
    assert "already. Choose another one. Use --overwrite" in capsys.readouterr().err
    (out / "notes.txt").touch()  # a file of the user
    assert main([*command, "--overwrite"]) == 1
    assert "something other than an exported model, such as notes.txt" in capsys.readouterr().err
    (out / "notes.txt").unlink()
    (out / TEXT_TABLE).unlink()
    assert main([*command, "--overwrite", "--no-text-encoder"]) == 0
    assert (out / TEXT_TABLE).exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").touch()
    assert main([*command[:3], str(tmp_path / "other"), "--words", "cat", "--overwrite"]) == 1
    assert "is not an exported model" in capsys.readouterr().err
    assert (tmp_path / "other" / "a.txt").exists()


MINI = ("cat_seg_mini", "sed_mini", "dcp_clip_mini", "fc_clip_mini")
LARGE = ("cat_seg_vit-b16", "dcp_clip_vit-b16")


@pytest.mark.slow
@pytest.mark.parametrize("name", MINI)
def test_mini_methods_keep_the_same_categories_with_the_same_scores(name, tmp_path):
    method = Inferencer(name, device="cpu")
    export_model(method, tmp_path / "out", "cat, dog", text_encoder=False)
    exported = ExportedModel(tmp_path / "out", threads=1)
    for count in (1, 2, 5, 150, 556, 2000):
        assert_equal_scores(method, exported, text_of(method, count), scene())
        if name == "dcp_clip_mini":
            assert_equal_stages(method, exported, text_of(method, count), scene())


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_methods_for_photos_at_full_size(name, tmp_path):
    overrides = {"model.encoder.pretrained": None}
    method = Inferencer(name, weights=None, device="cpu", overrides=overrides)
    export_model(method, tmp_path / "out", "cat, dog", text_encoder=False)
    exported = ExportedModel(tmp_path / "out", threads=1)
    image_HW3 = np.kron(scene(), np.ones((4, 5, 1), np.uint8))
    for count in (5, 150, 2000):
        assert_equal_stages(method, exported, text_of(method, count), image_HW3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["naclip_mini", *MINI])
def test_compiled_methods_give_the_same_scores(name):
    method = Inferencer(name, device="cpu")
    image_13HW = torch.from_numpy(scene()).permute(2, 0, 1)[None].float()
    compiled = torch.compile(method.model.segment, backend="aot_eager", dynamic=True)
    for count in (5, 150, 556):
        text = text_of(method, count)
        with torch.no_grad():
            features = method.model.encoder.encode_image(image_13HW)
            expected, found = (run(features, text) for run in (method.model.segment, compiled))
        assert found.selection.index_BK.tolist() == expected.selection.index_BK.tolist()
        for key in ("logits_BKHW", "share_BKQ", "mask_BQhw"):
            if key in vars(expected):
                torch.testing.assert_close(
                    vars(found)[key], vars(expected)[key], atol=1e-3, rtol=1e-3
                )


def test_openvino_runs_the_same_graphs(folder, exported):
    pytest.importorskip("openvino", reason="needs the extra: pip install 'ovss[openvino]'")
    other = ExportedModel(folder, threads=1, backend="openvino")
    for words in ("disc, grass", "mini_150"):
        found, expected = (run.scores(scene(), run.encode(words)) for run in (other, exported))
        assert found.index_K.tolist() == expected.index_K.tolist()
        np.testing.assert_allclose(found.values_KYX, expected.values_KYX, atol=1e-3)


@pytest.mark.slow
def test_the_part_that_cannot_be_exported_is_named(tmp_path):
    method = Inferencer("lposs_plus_mini", device="cpu")
    with pytest.raises(ExportError, match="The post-processor PixelPropagation cannot be exported"):
        export_model(method, tmp_path / "out", "cat, dog")
    assert list(tmp_path.iterdir()) == []
