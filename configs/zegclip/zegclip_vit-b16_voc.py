"""ZegCLIP ViT-B/16 on PASCAL VOC 15/5, inductive; for paper and recipe see zegclip_vit-b16_coco.

Weights: ovss convert zegclip iter_20000.pth zegclip_vit-b16_voc.safetensors
Run:    ovss segment photo.jpg --words "cat, dog" --model zegclip_vit-b16_voc --weights F
Data:   ovss prepare pascal_voc_20 --splits val,trainaug
Train:  ovss train zegclip_vit-b16_voc
mIoU:   published, seen / unseen / harmonic mean: 91.9 / 77.8 / 84.3. Pixel accuracy 94.6. With the
        labels of all categories (train_dataloader.dataset.only_seen=False): 92.4 / 90.9 / 91.6.
        Not measured here because neither these weights nor these datasets were available.
Recipe: 20,000 steps of 16 images; 10 prompts a block instead of 100; one prompt template.
Hours:  training not run here. Published setting: 20,000 steps of 16 images on 4 GPUs.
Size:   158,295,808 parameters, 8,039,168 of them trained (13,821,184 as the authors count).
"""

_base_ = ["./zegclip_vit-b16_coco.py"]
protocol = "zegclip_voc"
model = dict(
    encoder=dict(prompts=10),
    post_processor=dict(seen="pascal_voc_15"),
    prompts=dict(templates=("a photo of a {}",)),
)
_root = "{{$OVSS_DATA:data}}/pascal_voc_20"
train_dataloader = dict(
    dataset=dict(
        vocabulary="pascal_voc_20",
        seen="pascal_voc_15",
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
    dict(type="PolyLR", by_epoch=False, begin=0, end=20000, power=0.9, eta_min=1e-6),
]
train_cfg = dict(max_iters=20000, val_interval=2000)
