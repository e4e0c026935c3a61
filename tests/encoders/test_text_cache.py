"""The laws of the text cache: another content, another key; nothing stale, nothing half written."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from ovss.encoders import OpenCLIPEncoder, text_cache, text_files, text_space
from ovss.encoders.text_cache import TextCache, cache_folder
from ovss.encoders.text_files import read_text_file, write_text_file
from ovss.encoders.vocabulary_encoder import VocabularyEncoder
from ovss.io.fingerprint import Fingerprint, checksum
from ovss.io.stored_rows import StoredRows
from ovss.structures import TextFeatures, Vocabulary

WORDS = Vocabulary(("cat, kitten", "dog"), ("a photo of a {}.",))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("OVSS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "text"


@pytest.fixture
def made(monkeypatch) -> list[Vocabulary]:
    """Vocabularies that were really encoded, in order."""
    calls: list[Vocabulary] = []
    plain = VocabularyEncoder._embed

    def spy(self, clip, vocabulary, context=None):
        calls.append(vocabulary)
        return plain(self, clip, vocabulary)

    monkeypatch.setattr(VocabularyEncoder, "_embed", spy)
    return calls


def embeds(encoder: OpenCLIPEncoder, vocabulary: Vocabulary = WORDS) -> torch.Tensor:
    return encoder.encode_text(vocabulary).embeds_TPC


def test_the_second_call_and_the_next_process_find_what_was_made(tiny, reference, folder, made):
    path = tiny()
    _, weights = reference(path)
    encoder = OpenCLIPEncoder(str(path), str(weights)).eval()
    first = embeds(encoder)
    assert torch.equal(embeds(encoder), first)
    assert torch.equal(embeds(OpenCLIPEncoder(str(path), str(weights)).eval()), first)
    assert len(made) == 1
    assert len(list(folder.rglob("*.safetensors"))) == 1


def test_order_duplicates_and_the_rule_for_synonyms_encode_nothing_again(tiny, folder, made):
    encoder = OpenCLIPEncoder(str(tiny())).eval()
    first = embeds(encoder)
    for names in (("dog", "cat, kitten"), ("dog",), ("cat", "dog", "cat"), ("dog", "cat, puss")):
        found = embeds(encoder, Vocabulary(names, WORDS.templates))
        expected = [first[1] if name == "dog" else first[0] for name in names]
        assert torch.equal(found, torch.stack(expected))
    assert len(made) == 1
    assert len(list(folder.rglob("*.safetensors"))) == 1


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_one_more_name_encodes_one_name(tiny, folder, made, cache):
    encoder = OpenCLIPEncoder(str(tiny()), text_cache=cache).eval()
    first = embeds(encoder)
    more = embeds(encoder, Vocabulary(("cow", *WORDS.names, "cow"), WORDS.templates))
    assert made[-1].names == ("cow",)
    assert torch.equal(more[1:3], first)
    assert torch.equal(more[0], more[3])
    average = Vocabulary(("cat, kitten", "dog"), WORDS.templates, "average")
    assert not torch.equal(embeds(encoder, average)[0], first[0])
    assert [vocabulary.names for vocabulary in made[2:]] == [("cat, kitten",)]
    embeds(encoder, Vocabulary(WORDS.names, ("a picture of a {}.",)))
    assert made[-1].names == WORDS.names


def test_the_next_process_encodes_what_is_missing(tiny, reference, folder, made):
    path = tiny()
    _, weights = reference(path)
    first = embeds(OpenCLIPEncoder(str(path), str(weights)).eval())
    more = Vocabulary(("cow", "dog", "cat"), WORDS.templates)
    found = embeds(OpenCLIPEncoder(str(path), str(weights)).eval(), more)
    assert torch.equal(found[1:], first.flip(0))
    assert [vocabulary.names for vocabulary in made] == [WORDS.names, ("cow",)]


def test_another_activation_or_tokenizer_is_another_entry(tiny, reference, folder, made):
    path = tiny()
    _, weights = reference(path)
    for other in (path, tiny(quick_gelu=True), tiny(text={"tokenizer_kwargs": {"clean": "lower"}})):
        embeds(OpenCLIPEncoder(str(other), str(weights)).eval())
    assert len(made) == 3


@pytest.mark.parametrize("name", ["token_embedding.weight", "ln_final.bias"])
def test_an_edit_behind_the_version_counter_is_noticed_and_undone(tiny, folder, made, name):
    encoder = OpenCLIPEncoder(str(tiny())).eval()
    parameter = encoder.clip.get_parameter(name)
    before, version = embeds(encoder), parameter._version
    kept = parameter.data.clone()
    parameter.data.flatten()[-3:] += 1.0  # what a swap of averaged weights does
    assert parameter._version == version
    embeds(encoder)
    assert len(made) == 2
    parameter.data.copy_(kept)
    assert torch.equal(embeds(encoder), before)
    assert len(made) == 2


def test_the_image_tower_does_not_matter(tiny, folder, made):
    encoder = OpenCLIPEncoder(str(tiny())).eval()
    embeds(encoder)
    encoder.clip.visual.conv1.weight.data += 1
    encoder.clip.logit_scale.data += 1
    embeds(encoder)
    assert len(made) == 1


def test_training_keeps_nothing_and_evaluation_sees_the_new_weights(tiny, folder, made):
    encoder = OpenCLIPEncoder(str(tiny()), trainable="qv").train()
    optimizer = torch.optim.SGD(
        [parameter for parameter in encoder.parameters() if parameter.requires_grad], lr=10.0
    )
    before = embeds(encoder.eval())
    encoder.train()
    for _ in range(2):
        embeds(encoder)[..., 0].sum().backward()
    optimizer.step()
    assert len(made) == 3
    assert len(list(folder.rglob("*.safetensors"))) == 1
    after = embeds(encoder.eval())
    assert not torch.allclose(after, before)
    frozen = OpenCLIPEncoder(str(tiny()), trainable="qv", trainable_text="none").train()
    embeds(frozen)
    made.clear()
    embeds(frozen)
    assert made == []


@pytest.mark.parametrize("damage", ["truncated", "one bit", "of another name", "empty"])
def test_a_corrupt_file_is_made_again_with_a_warning(tiny, reference, folder, made, damage):
    path = tiny()
    _, weights = reference(path)
    first = embeds(OpenCLIPEncoder(str(path), str(weights)).eval())
    (file,) = folder.rglob("*.safetensors")
    content = bytearray(file.read_bytes())
    if damage == "one bit":
        content[-1] ^= 1
    elif damage == "of another name":
        content = content.replace(b"kitten", b"mitten").replace(b"cat", b"cow")
    else:
        content = content[: len(content) // 2 if damage == "truncated" else 0]
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="corrupt.*computed again"):
        again = embeds(OpenCLIPEncoder(str(path), str(weights)).eval())
    assert torch.equal(again, first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embeds(OpenCLIPEncoder(str(path), str(weights)).eval())
    assert len(made) == 2


def test_a_result_that_was_written_into_is_not_given_again(tiny, folder, made):
    encoder = OpenCLIPEncoder(str(tiny()), text_cache="memory").eval()
    first = embeds(encoder)
    kept = first.clone()
    first.mul_(2)
    assert torch.equal(embeds(encoder), kept)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_said_once(tiny, tmp_path, monkeypatch, made):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OVSS_CACHE_DIR", str(tmp_path / "file"))
    encoder = OpenCLIPEncoder(str(tiny())).eval()
    with pytest.warns(UserWarning, match="cannot be cached.*OVSS_CACHE_DIR") as caught:
        [embeds(encoder, Vocabulary((word,))) for word in ("cat", "cow")]
    assert len(caught) == 1
    assert len(made) == 2


def test_off(tiny, monkeypatch, made):
    monkeypatch.setenv("OVSS_CACHE_DIR", "off")
    assert cache_folder() is None
    monkeypatch.delenv("OVSS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/ovss/text")
    encoder = OpenCLIPEncoder(str(tiny()), text_cache="off").eval()
    embeds(encoder)
    embeds(encoder)
    assert len(made) == 2


def collected(cache: TextCache, space: str, names: list[str], value: float = 0.0) -> torch.Tensor:
    """Embeddings of 256 channels, all of one value."""

    def make(indices):
        yield indices, torch.full((len(indices), 1, 256), value)

    found = cache.collect(space, names, torch.device("cpu"), make)
    assert isinstance(found, torch.Tensor)
    return found


def test_memory_and_disk_are_bounded(folder, monkeypatch):
    cache, size = TextCache(), torch.zeros(4, 1, 256).nbytes
    monkeypatch.setattr(text_cache, "MEMORY_BYTES", 2 * size)
    monkeypatch.setattr(text_cache, "DISK_BYTES", 6 * size + 3000)
    for index in range(6):
        names = [f"{index} {i}" for i in range(4)]
        cache.remember(index, TextFeatures(collected(cache, str(index % 2), names)))
    assert len(cache._texts) == 2
    assert 1 <= len(list(folder.rglob("*.safetensors"))) <= 3
    for changed in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert not changed._texts
        assert not changed._spaces
    memory = TextCache(disk=False)
    for index in range(6):
        collected(memory, "space", [f"{index} {i}" for i in range(4)])
        assert memory._part_bytes() <= 3 * size


SHARE = """
import sys, torch, warnings
warnings.simplefilter("error")
from ovss.encoders.text_cache import TextCache, cache_folder
from ovss.encoders.text_files import read_text_file, write_text_file
cpu = torch.device("cpu")
for round in range(12):
    for space in "0123":
        names = [str(number) for number in range(50 - round)]
        def make(indices):
            yield indices, torch.full((len(indices), 3, 64), float(space))
        found = TextCache().collect(space, names, cpu, make)
        assert torch.equal(found, torch.full((50 - round, 3, 64), float(space)))
    if round % 4 == 3:
        for path in (cache_folder() / "2").glob("*.safetensors"):
            path.unlink(missing_ok=True)
"""


def test_a_file_that_goes_while_it_is_read_is_read_to_its_end(folder, monkeypatch):
    embeds_NPC = torch.randn(2, 3, 8)
    path = write_text_file(folder, "space", ["cat", "dog"], embeds_NPC)
    plain = text_files._read_header

    def read_and_delete(file):
        found = plain(file)
        path.unlink()
        return found

    monkeypatch.setattr(text_files, "_read_header", read_and_delete)
    part = read_text_file(path, "space")
    assert part.keys == ("cat", "dog")
    assert torch.equal(part.embeds_NPC, embeds_NPC)


def test_two_processes_share_a_folder(folder, repo_root):
    processes = [
        subprocess.Popen([sys.executable, "-c", SHARE], cwd=repo_root, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".safetensors"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8])
def test_checksum_sees_every_change_and_exchange(dtype):
    tensor = (100 * torch.randn(3, 7001)).to(dtype)
    known = {tuple(checksum(tensor).tolist())}
    edits = 0
    for a, b in ((0, 1), (0, 7000), (0, 20999), (4095, 4096), (20998, 20999), (17, 2 * 4096 + 17)):
        other = tensor.clone()
        flat = other.flatten()
        if flat[a] == flat[b]:
            continue
        flat[a], flat[b] = flat[b].clone(), flat[a].clone()
        known.add(tuple(checksum(other).tolist()))
        flat[a] = flat[b]
        known.add(tuple(checksum(other).tolist()))
        edits += 2
    assert len(known) == 1 + edits
    odd = torch.arange(20, dtype=torch.float32)[1:12]
    assert torch.equal(checksum(odd), checksum(odd.clone()))


def test_fingerprint_reads_everything_only_after_a_change(monkeypatch):
    from ovss.io import fingerprint

    reads = []
    plain = fingerprint.sha256
    monkeypatch.setattr(fingerprint, "sha256", lambda t: reads.append(1) or plain(t))
    tensors = {"a": torch.randn(300, 50), "b": torch.randn(())}
    of = Fingerprint()
    first = of(tensors)
    assert of(tensors) == first == plain(tensors)
    tensors["b"].data.add_(1)
    assert of(tensors) != first
    tensors["b"].data.sub_(1)
    assert len(reads) == 2
    assert of({"a": tensors["a"].view(50, 300), "b": tensors["b"]}) != first


def test_unchanged_weights_are_not_read_and_every_change_is_seen(tiny, folder, made, monkeypatch):
    from ovss.io import fingerprint

    reads = []
    plain = fingerprint.checksum
    monkeypatch.setattr(fingerprint, "checksum", lambda t: reads.append(1) or plain(t))
    encoder = OpenCLIPEncoder(str(tiny())).eval()
    embeds(encoder)
    reads.clear()
    before = embeds(encoder)
    assert reads == []
    state = {name: value.clone() for name, value in encoder.clip.state_dict().items()}
    changes = {
        "in place": lambda p: p.add_(1),
        "all values, behind the counter": lambda p: p.data.copy_(p.data + 1),
        "other memory": lambda p: setattr(p, "data", p.data + 1),
    }
    for name, change in changes.items():
        with torch.no_grad():
            change(encoder.clip.get_parameter("ln_final.bias"))
        assert not torch.equal(embeds(encoder), before), name
        encoder.clip.load_state_dict(state)
        assert torch.equal(embeds(encoder), before), name
    reads.clear()
    embeds(encoder)
    assert reads == []


def test_an_interrupted_encoding_keeps_its_finished_parts(tiny, folder, made, monkeypatch):
    """The second attempt encodes the missing parts only; the result is that of one piece."""
    encoder = OpenCLIPEncoder(str(tiny())).eval()
    words = Vocabulary(tuple(f"thing {i}, item {i}" for i in range(7)), ("a {}.", "{}"), "average")
    expected = encoder._encode_vocabulary._embed_fixed(encoder.clip, words, torch.device("cpu"))
    monkeypatch.setattr("ovss.encoders.vocabulary_encoder.PROMPTS_PER_PART", 8)  # 2 names of 4
    spy = VocabularyEncoder._embed

    def interrupted(self, clip, vocabulary, context=None):
        if len(made) == 3:
            raise KeyboardInterrupt
        return spy(self, clip, vocabulary)

    made.clear()
    with monkeypatch.context() as broken:
        broken.setattr(VocabularyEncoder, "_embed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embeds(encoder, words)
    found = embeds(encoder, words)
    assert [len(part) for part in made] == [2, 2, 2, 1]
    assert len(list(folder.rglob("*.safetensors"))) == 4
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_files_are_read_for_their_own_names_only(tiny, reference, folder, made, monkeypatch):
    path = tiny()
    _, weights = reference(path)
    encoder = OpenCLIPEncoder(str(path), str(weights)).eval()
    for name in ("cat", "dog", "cow"):
        embeds(encoder, Vocabulary((name,)))
    reads = []
    plain = text_space.read_text_file
    monkeypatch.setattr(text_space, "read_text_file", lambda *a: reads.append(a[0]) or plain(*a))
    again = OpenCLIPEncoder(str(path), str(weights)).eval()
    embeds(again, Vocabulary(("dog",)))
    assert len(reads) == 1
    embeds(again, Vocabulary(("cow", "dog", "cat")))
    assert len(set(reads)) == len(reads) == 3
    assert len(made) == 3


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_a_large_vocabulary_is_read_on_demand(tiny, reference, folder, made, monkeypatch, cache):
    path = tiny()
    _, weights = reference(path)

    def encoder() -> OpenCLIPEncoder:
        return OpenCLIPEncoder(str(path), str(weights), text_cache=cache).eval()

    words = Vocabulary(tuple(f"thing {i % 7}" for i in range(9)), ("a {}.", "{}"))
    expected = embeds(encoder(), words)
    monkeypatch.setattr(text_cache, "held_bytes", lambda device: 0)
    monkeypatch.setattr("ovss.encoders.vocabulary_encoder.PROMPTS_PER_PART", 4)
    large = Vocabulary((*words.names, "cow"), words.templates)
    for current in (encoder(), encoder()):
        text = current.encode_text(large)
        assert isinstance(text.source_TPC, StoredRows)
        assert current.encode_text(large) is text
        index_BK = torch.tensor([[3, 1, 8], [1, 0, 0]])
        torch.testing.assert_close(text.rows(index_BK), expected[index_BK], atol=1e-6, rtol=0)
        torch.testing.assert_close(text.mean_TC[:9], expected.mean(1), atol=1e-6, rtol=0)
    again = sum(len(vocabulary) for vocabulary in made) - 7
    assert again == (1 if cache == "disk" else 2 * 8)


def test_rows_stay_readable_when_another_process_deletes_their_file(tiny, folder, monkeypatch):
    monkeypatch.setattr(text_cache, "held_bytes", lambda device: 0)
    encoder = OpenCLIPEncoder(str(tiny())).eval()
    text = encoder.encode_text(WORDS)
    before = text.embeds_TPC.clone()
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    assert torch.equal(text.embeds_TPC, before)
