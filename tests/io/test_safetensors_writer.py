"""Our writer and the library's reader agree, and the same content gives the same bytes."""

from __future__ import annotations

import io
import json

import pytest
import torch
from safetensors.torch import load

from ovss.io.checkpoint_error import CheckpointError
from ovss.io.safetensors_writer import write_safetensors


def written(tensors, metadata) -> bytes:
    file = io.BytesIO()
    write_safetensors(file, tensors, metadata)
    return file.getvalue()


def test_every_type_and_shape_is_read_back_by_the_library():
    generator = torch.Generator().manual_seed(0)
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
    kinds += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    shapes = [(), (0, 3), (1,), (3, 5), (2, 1, 7)]
    tensors = {
        f"{kind} {shape} \u00e9\n\x7f": (torch.rand(shape, generator=generator) * 9).to(kind)
        for kind in kinds
        for shape in shapes
    }
    tensors["strided"] = torch.arange(12.0).view(3, 4).t()
    tensors["shared"] = tensors["strided"]
    content = written(tensors, {"note": "\u00fc\u2028\x01"})
    assert int.from_bytes(content[:8], "little") % 8 == 0
    back = load(content)
    assert back.keys() == tensors.keys()
    for name, value in tensors.items():
        assert back[name].dtype == value.dtype, name
        assert back[name].shape == value.shape, name
        assert torch.equal(back[name].double(), value.double()), name


def test_the_order_of_tensors_and_notes_changes_no_byte():
    tensors = {"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.int64), "c": torch.ones(1)}
    notes = {f"key{index}": str(index) for index in range(9)}
    reordered = dict(reversed(tensors.items())), dict(reversed(notes.items()))
    assert written(tensors, notes) == written(*reordered)


@pytest.mark.parametrize("note", ["", "1", "12", "123", "1234", "12345", "123456", "1234567"])
def test_every_tensor_starts_at_a_multiple_of_its_element_size(note):
    kinds = [torch.uint8, torch.float16, torch.float64, torch.int32]
    tensors = {str(kind): torch.ones(3, dtype=kind) for kind in kinds}
    content = written(tensors, {"note": note})
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name, value in tensors.items():
        start = 8 + length + header[name]["data_offsets"][0]
        assert start % value.element_size() == 0, name


def test_a_type_that_the_format_lacks_is_named():
    with pytest.raises(CheckpointError, match=r"z has the number type complex64"):
        written({"z": torch.zeros(1, dtype=torch.complex64)}, {})
