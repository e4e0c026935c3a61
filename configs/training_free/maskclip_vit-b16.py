"""Training-free: cosines of the last block's value path with class names; no further parameters.

Paper: Extract Free Dense Labels from CLIP (MaskCLIP), ECCV 2022, arXiv 2112.01071.
Run:   ovss segment photo.jpg --words "cat, grass" --model maskclip_vit-b16
Needs: OpenAI's ViT-B/16 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  not run here.
"""

protocol = "sclip"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPEncoder",
        model="ViT-B-16-quickgelu",
        pretrained="openai",
        image_size=None,
        dense="maskclip",
        positions="scale_factor",
        trainable="none",
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead", ensemble=True),
    decoder=dict(type="UpsampleDecoder", scale=100.0),
    post_processor=dict(type="Identity"),
    prompts=dict(templates="imagenet_80", synonyms="max"),
    inference=dict(
        mode="slide",
        size=336,
        keep_ratio=True,
        longest=2048,
        window=224,
        stride=112,
        global_view=False,
        activation="softmax",
        merge="logits",
    ),
)
