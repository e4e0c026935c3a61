"""Names, files and tags: what loads, what is refused, what the messages say."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ovss.encoders import OpenCLIPEncoder
from ovss.encoders.architecture import read_model_config
from ovss.encoders.attention import Attention
from ovss.encoders.weights import preprocess_of
from ovss.io.shapes_only import shapes_only
from ovss.io.torchscript import read_torchscript


def build_on_meta(model: str, **arguments) -> OpenCLIPEncoder:
    with shapes_only():
        return OpenCLIPEncoder(model, **arguments)


def count(module: torch.nn.Module, trained: bool) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


@pytest.mark.parametrize(
    ("model", "total", "image_qv", "text_qv"),
    [
        ("ViT-B-16-quickgelu", 149_620_737, 14_155_776, 6_291_456),
        ("ViT-L-14-336-quickgelu", 427_944_193, 50_331_648, 14_155_776),
    ],
)
def test_full_size_counts(model, total, image_qv, text_qv):
    encoder = build_on_meta(model, trainable="qv")
    assert count(encoder, trained=False) == total
    assert count(encoder.clip.visual, trained=True) == image_qv
    assert count(encoder.clip.transformer, trained=True) == text_qv
    assert count(encoder, trained=True) == image_qv + text_qv


def test_each_rule_trains_exactly_what_it_says():
    width, depth = {"image": 768, "text": 512}, 12
    whole = {"image": 86_192_640, "text": 63_428_097 - 1}  # the one is logit_scale
    for rule, of_width in (
        ("none", lambda d: 0),
        ("qv", lambda d: 2 * d * d),
        ("attention", lambda d: 4 * d * d + 4 * d),
    ):
        encoder = build_on_meta("ViT-B-16", trainable=rule)
        assert count(encoder, trained=True) == depth * sum(of_width(d) for d in width.values())
    encoder = build_on_meta("ViT-B-16", trainable="full")
    assert count(encoder, trained=True) == sum(whole.values())
    assert not encoder.clip.logit_scale.requires_grad
    encoder = build_on_meta("ViT-B-16", trainable="qv", trainable_text="none")
    assert count(encoder, trained=True) == depth * 2 * width["image"] ** 2


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("ViT-B-16-SigLIP", "timm"),
        ("RN50", "ResNet"),
        ("coca_ViT-B-32", "attentional pooler"),
        ("roberta-ViT-B-32", "Hugging Face"),
    ],
)
def test_what_cannot_give_dense_tokens_is_refused_with_the_reason(model, reason):
    with pytest.raises(ValueError, match=f"{model} cannot be used with OpenCLIPEncoder .*{reason}"):
        build_on_meta(model)


def test_a_native_variant_with_average_pooling_and_both_way_text_builds():
    encoder = build_on_meta("ViT-L-14-CLIPA")
    features = encoder.encode_image(torch.zeros(1, 3, 56, 70, device="meta"))
    assert features.dense_BChw.shape == (1, 768, 4, 5)


def test_custom_blocks_are_refused(tiny):
    with pytest.raises(ValueError, match=r"blocks are custom \(qk_norm"):
        OpenCLIPEncoder(str(tiny({"qk_norm": True})))


def test_fused_and_split_attention_weights_load_alike():
    fused = torch.nn.MultiheadAttention(24, 3, batch_first=True)
    split = Attention(24, 3)
    split.load_state_dict(fused.state_dict())
    x = torch.randn(2, 7, 24)
    torch.testing.assert_close(split(x), fused(x, x, x, need_weights=False)[0])
    again = Attention(24, 3)
    again.load_state_dict(split.state_dict())
    assert torch.equal(again(x), split(x))
    with pytest.raises(ValueError, match="width=24 and heads=5"):
        Attention(24, 5)


def test_half_precision_and_wrapped_files_load_as_full_precision(tiny, reference, tmp_path):
    path = tiny()
    module, _ = reference(path)
    state = {f"module.{key}": value.half() for key, value in module.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.pt")
    encoder = OpenCLIPEncoder(str(path), str(tmp_path / "w.pt"))
    weight = encoder.clip.visual.conv1.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, module.visual.conv1.weight.half().float())


def test_text_weights_of_the_plain_layout_load_into_a_text_module(tiny, reference):
    _, weights = reference(tiny())
    encoder = OpenCLIPEncoder(str(tiny(custom_text=True)), str(weights))
    assert "text.token_embedding.weight" in encoder.clip.state_dict()


class NotATensor:
    pass


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_truncated_files_are_named(tiny, reference, tmp_path, suffix):
    path = tiny()
    module, weights = reference(path)
    file = tmp_path / f"w{suffix}"
    if suffix == ".pt":
        torch.save(module.state_dict(), file)
    else:
        file.write_bytes(weights.read_bytes())
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(RuntimeError, match=rf"w\{suffix} .*is truncated"):
        OpenCLIPEncoder(str(path), str(file))


def test_code_in_a_weight_file_is_not_run(tiny, tmp_path):
    torch.save({"a": NotATensor()}, tmp_path / "w.pt")
    with pytest.raises(RuntimeError, match="more than tensors and numbers"):
        OpenCLIPEncoder(str(tiny()), str(tmp_path / "w.pt"))


class AsPublished(torch.nn.Module):
    """OpenAI's layout: a CLIP traced in half precision, with three facts among its buffers."""

    def __init__(self, clip: torch.nn.Module) -> None:
        super().__init__()
        for name, part in clip.named_children():
            setattr(self, name, part)
        for name, parameter in clip.named_parameters(recurse=False):
            setattr(self, name, parameter)
        for name, value in (("input_resolution", 32), ("context_length", 20), ("vocab_size", 9)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.logit_scale


def test_a_torchscript_archive_is_read_as_data(tiny, reference, tmp_path):
    path = tiny()
    module, _ = reference(path)
    traced = torch.jit.trace(AsPublished(module), torch.rand(1))
    traced.half().save(str(tmp_path / "ViT.pt"))
    published = torch.jit.load(str(tmp_path / "ViT.pt")).state_dict()
    read = read_torchscript(tmp_path / "ViT.pt")
    assert read.keys() == published.keys()
    assert all(torch.equal(read[n], v) and read[n].dtype == v.dtype for n, v in published.items())
    encoder = OpenCLIPEncoder(str(path), str(tmp_path / "ViT.pt"))
    assert torch.equal(encoder.clip.visual.proj, module.visual.proj.half().float())


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


def test_code_in_a_torchscript_archive_is_not_run(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("w.pt", "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps(Trap(), protocol=2))
        archive.writestr("w/constants.pkl", b"")
    with pytest.raises(RuntimeError, match=r"w\.pt.*more than tensors and numbers.*it names"):
        OpenCLIPEncoder(str(tiny()), "w.pt")
    assert not Path("sprung").exists()


def test_weights_of_another_architecture_name_the_keys(tiny, reference, tmp_path):
    _, weights = reference(tiny({"width": 40, "layers": 2}))
    with pytest.raises(RuntimeError, match=r"missing .*resblocks\.2.*another shape .*\(40,\)"):
        OpenCLIPEncoder(str(tiny()), str(weights))
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(RuntimeError, match=r"unexpected \(a\)"):
        OpenCLIPEncoder(str(tiny()), str(tmp_path / "other.safetensors"))


def test_unknown_names_get_the_closest(tiny, tmp_path):
    with pytest.raises(ValueError, match="Did you mean ViT-B-16"):
        OpenCLIPEncoder("ViT-B/16")
    with pytest.raises(ValueError, match=r"Unknown weights 'opnai'.*Did you mean 'openai'"):
        build_on_meta("ViT-B-16-quickgelu", pretrained="opnai")
    with pytest.raises(FileNotFoundError, match=r"Weight file .*gone\.pt does not exist"):
        OpenCLIPEncoder(str(tiny()), str(tmp_path / "gone.pt"))
    with pytest.raises(FileNotFoundError, match=r"Model config .*gone\.json does not exist"):
        OpenCLIPEncoder(str(tmp_path / "gone.json"))
    (tmp_path / "bad.json").write_text(json.dumps({"embed_dim": 3}))
    with pytest.raises(ValueError, match="lacks vision_cfg, text_cfg"):
        OpenCLIPEncoder(str(tmp_path / "bad.json"))


def test_weights_trained_with_the_other_activation_are_refused():
    with pytest.raises(ValueError, match="Use model='ViT-B-16-quickgelu'"):
        build_on_meta("ViT-B-16", pretrained="openai")


def test_offline_without_cached_weights_says_tag_place_and_way_out_at_once(monkeypatch):
    def no_network(*_args, **_kwargs):
        raise OSError("no route")

    monkeypatch.setattr("socket.create_connection", no_network)
    monkeypatch.setattr("ovss.encoders.tags.getproxies", dict)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(RuntimeError) as error:
        build_on_meta("ViT-B-16-quickgelu", pretrained="openai")
    for part in ("'openai'", "ViT-B-16-quickgelu", "HF_HOME", "no route", ".safetensors"):
        assert part in str(error.value)


def test_cached_weights_of_a_tag_load_without_network(tiny, reference, monkeypatch):
    """A tag of a tiny architecture, in a cache that only has the safetensors alternative."""
    path = tiny()
    module, weights = reference(path)
    config = json.loads(path.read_text())
    known = {"hf_hub": "someone/tiny/", "mean": (0.5, 0.5, 0.5), "quick_gelu": False}
    monkeypatch.setattr("open_clip.list_models", lambda: ["tiny"])
    monkeypatch.setattr("open_clip.get_model_config", lambda _: config)
    monkeypatch.setattr("open_clip.pretrained.get_pretrained_cfg", lambda *_: known)
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda _, name: str(weights) if name == "open_clip_model.safetensors" else None,
    )
    encoder = OpenCLIPEncoder("tiny", "a_tag")
    assert torch.equal(encoder.clip.visual.proj, module.visual.proj)
    assert encoder.mean_311.flatten().tolist() == [127.5] * 3


def test_pixel_statistics_come_from_config_or_tag_or_clip(tiny):
    model = "ViT-L-14-CLIPA"
    config = read_model_config(model)
    of_tag = preprocess_of(model, config, "datacomp1b")[0]
    assert of_tag == pytest.approx([255 * value for value in (0.485, 0.456, 0.406)])
    # without a tag: what the tags of the architecture agree on
    assert preprocess_of(model, config, None)[0] == of_tag
    plain = "ViT-B-32"  # whose tags all have CLIP's
    of_clip = preprocess_of(plain, read_model_config(plain), None)[0]
    assert of_clip == pytest.approx([122.7709383, 116.7460125, 104.09373615])
    own = {"mean": [0.5, 0.5, 0.5], "std": [0.1, 0.2, 0.3]}
    encoder = OpenCLIPEncoder(str(tiny(preprocess_cfg=own)))
    assert encoder.mean_311.flatten().tolist() == [127.5] * 3
    assert encoder.std_311.flatten().tolist() == pytest.approx([25.5, 51, 76.5])
