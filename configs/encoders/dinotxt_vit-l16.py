"""Training-free: DINOv3's patches, aligned with text by its own head (dino.txt).

Paper: DINOv3, arXiv 2508.10104; DINOv2 Meets Text (dino.txt), CVPR 2025, arXiv 2412.16334.
Run:   ovss segment photo.jpg --words "cat, grass" --model dinotxt_vit-l16
Needs: DINOv3's ViT-L/16, which timm downloads, and the weights of the vision head and the text
       tower in encoder.pretrained, in the names of `DinoTextEncoder`. The published file is gated,
       under the DINOv3 License, and has other names; there is not yet a converter.
mIoU:  not run here.
"""

protocol = "dinotxt"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="DinoTextEncoder",
        backbone=dict(
            model="vit_large_patch16_dinov3_qkvb.lvd1689m",
            pretrained="vit_large_patch16_dinov3_qkvb.lvd1689m",
        ),
        pretrained="dinotxt.safetensors",
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead", ensemble=True),
    decoder=dict(type="UpsampleDecoder", scale=1.0),
    post_processor=dict(type="Identity"),
    prompts=dict(templates="imagenet_80", synonyms="first"),
    inference=dict(
        mode="slide",
        size=512,
        keep_ratio=True,
        window=384,
        stride=192,
        global_view=False,
        activation="softmax",
        merge="probs",
    ),
)
