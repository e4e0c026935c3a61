"""ZegCLIP ViT-B/16 on PASCAL VOC 15/5, transductive; see zegclip_vit-b16_coco_transductive.

Train:  ovss train zegclip_vit-b16_voc_transductive --cfg-options load_from=F
        with the weights of zegclip_vit-b16_voc after 10,000 steps as F.
mIoU:   published, seen / unseen / harmonic mean: 92.3 / 89.9 / 91.1. Pixel accuracy 96.2. Not
        measured here.
"""

_base_ = ["./zegclip_vit-b16_coco.py"]
protocol = "zegclip_voc"
model = dict(
    encoder=dict(prompts=10),
    post_processor=dict(_delete_=True, type="Identity"),
    criterion=dict(seen="pascal_voc_15"),
    prompts=dict(templates=("a photo of a {}",)),
)
_root = "{{$OVSS_DATA:data}}/pascal_voc_20"
train_dataloader = dict(
    dataset=dict(
        vocabulary="pascal_voc_20",
        seen="pascal_voc_15",
        only_seen=False,
        images=_root + "/images/trainaug",
        masks=_root + "/masks/trainaug",
    )
)
val_dataloader = dict(
    dataset=dict(
        vocabulary="pascal_voc_20", images=_root + "/images/val", masks=_root + "/masks/val"
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(seen="pascal_voc_15")
test_evaluator = val_evaluator
param_scheduler = [
    dict(type="LinearLR", by_epoch=False, begin=0, end=1500, start_factor=1e-6),
    dict(type="PolyLR", by_epoch=False, begin=0, end=10000, power=0.9, eta_min=1e-6),
]
train_cfg = dict(max_iters=10000, val_interval=2000)
