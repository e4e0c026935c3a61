"""LSeg ResNet-101, the zero-shot network; for paper, commands and recipe see lseg_vit-l16.

Weights: the authors' checkpoint, converted:
        ovss convert lseg CHECKPOINT.ckpt lseg_rn101.safetensors
Run:    ovss segment photo.jpg --words "others, boat" --model lseg_rn101 --weights F
        The authors compare one class with `others`, on images squashed to 480 x 480.
mIoU:   published, two names an image: PASCAL-5i folds 52.8 / 53.8 / 44.4 / 38.5; COCO-20i folds
        22.1 / 25.1 / 24.9 / 21.5; FSS-1000 84.7. Table I of DCP-CLIP quotes 47.4. Not measured
        here.
Recipe: the training set of lseg_vit-l16 with this backbone. Training in episodes of one class
        against `others`, which the published numbers come from, is not built.
Size:   123,435,072 parameters, 60,006,976 of them trained.
"""

_base_ = ["./lseg_vit-l16.py"]
model = dict(
    encoder=dict(
        backbone=dict(
            _delete_=True,
            type="ResNet",
            depth=101,
            frozen_norms=False,
            pretrained="resnet101.tv_in1k",
        ),
        level_dims=None,
        level_scales_of_patches=None,
        pixel_mean=(123.675, 116.28, 103.53),
        pixel_std=(58.395, 57.12, 57.375),
    ),
)
