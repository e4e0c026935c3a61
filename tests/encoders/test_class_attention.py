"""The class token's attention, against the weights of whole attention."""

from __future__ import annotations

import pytest
import torch

from ovss.encoders import OpenCLIPEncoder


@torch.no_grad()
@pytest.mark.parametrize("dense", ["maskclip", "vanilla"])
def test_class_attention_is_the_first_row_of_every_head(tiny, reference, dense):
    path = tiny()
    _, weights = reference(path)
    blocks = (0, 2)
    encoder = OpenCLIPEncoder(str(path), str(weights), dense=dense, class_attention=blocks).eval()
    assert encoder.class_attention_dim == 2 * 4
    pixels = torch.rand(2, 3, 32, 32) * 255
    rows = []
    for block in (encoder.clip.visual.transformer.resblocks[i] for i in blocks):
        normed = []
        block.ln_1.register_forward_hook(lambda _, __, out, normed=normed: normed.append(out))
        rows.append((block, normed))
    found = encoder.encode_image(pixels).class_attention_BMhw
    expected = [
        block.attn.weights(block.attn.query(normed[0]), block.attn.key(normed[0]))[:, :, 0, 1:]
        for block, normed in rows
    ]
    assert found.shape == (2, 8, 4, 4)
    torch.testing.assert_close(found.flatten(2), torch.cat(expected, 1), atol=1e-6, rtol=1e-5)


def test_attention_without_gradient_is_the_same_attention(tiny, reference):
    path = tiny()
    _, weights = reference(path)
    pixels = torch.rand(2, 3, 32, 32) * 255
    found = []
    for gradient in (True, False):
        encoder = OpenCLIPEncoder(
            str(path),
            str(weights),
            attention=True,
            attention_gradient=gradient,
            trainable="full",
        )
        image = encoder.encode_image(pixels)
        assert image.attention_BNN.requires_grad == gradient
        image.dense_BChw.square().sum().backward()
        found.append((image, encoder.clip.visual.conv1.weight.grad))
    (one, one_grad), (other, other_grad) = found
    torch.testing.assert_close(one.attention_BNN, other.attention_BNN)
    torch.testing.assert_close(one.dense_BChw, other.dense_BChw, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one_grad, other_grad, atol=1e-4, rtol=1e-3)


def test_nothing_unless_asked(tiny):
    encoder = OpenCLIPEncoder(str(tiny()))
    assert encoder.class_attention_dim == 0
    assert encoder.encode_image(torch.rand(1, 3, 32, 32)).class_attention_BMhw is None


def test_blocks_that_are_not_there(tiny):
    with pytest.raises(ValueError, match=r"class_attention names blocks \[3\]"):
        OpenCLIPEncoder(str(tiny()), class_attention=(3,))
