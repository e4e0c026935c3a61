"""ZegCLIP ViT-B/16 on COCO-Stuff 156/15, transductive: unseen categories label themselves.

For paper, commands and recipe see zegclip_vit-b16_coco. The names of the unseen categories, and
which pixels belong to any of them, are known in training. The model labels these pixels itself.
Train:  ovss train zegclip_vit-b16_coco_transductive --cfg-options load_from=F
        with the inductive weights after 40,000 steps as F.
mIoU:   published, seen / unseen / harmonic mean: 40.7 / 59.9 / 48.5. Pixel accuracy 69.2. Not
        measured here.
"""

_base_ = ["./zegclip_vit-b16_coco.py"]
model = dict(
    post_processor=dict(_delete_=True, type="Identity"),
    criterion=dict(seen="coco_stuff_156"),
)
train_dataloader = dict(dataset=dict(only_seen=False))
param_scheduler = [
    dict(type="LinearLR", by_epoch=False, begin=0, end=1500, start_factor=1e-6),
    dict(type="PolyLR", by_epoch=False, begin=0, end=40000, power=0.9, eta_min=1e-6),
]
train_cfg = dict(max_iters=40000)
