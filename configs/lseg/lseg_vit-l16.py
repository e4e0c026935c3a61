"""LSeg ViT-L/16: pixels of an ImageNet ViT with DPT, in the space of CLIP's text tower.

Paper:  Language-driven Semantic Segmentation, ICLR 2022, arXiv 2201.03546. Outputs equal those of
        the authors' code (see plugins/lseg/README.md).
Weights: the authors' checkpoint, converted:
        ovss convert lseg demo_e200.ckpt lseg_vit-l16.safetensors
Run:    ovss segment photo.jpg --words "cat, grass, other" --model lseg_vit-l16 --weights F
        Every pixel gets one of the names; add `other` for the rest.
Train:  ovss train lseg_vit-l16      (ADE20K-150 in data/ade20k_150, see below)
mIoU:   published with the zero-shot networks: PASCAL-5i as table I of DCP-CLIP quotes it 52.3;
        FSS-1000 87.8. Not measured here because neither these weights nor these datasets were
        available.
Recipe: the authors' code: SGD with momentum 0.9 and decay 1e-4; backbone 2.5e-4 for each image of a
        step, everything else x 10; polynomial schedule with power 0.9; 240 epochs; long side 260 to
        1040, crop 480, flip, padded with black; text tower frozen.
        Differences: the rate falls with every step, not with every epoch; batch norms are computed
        on each GPU apart.
Hours:  training not run here. Published setting: batches of 8 on 8 GPUs.
Size:   405,079,552 parameters, 341,651,456 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/ade20k_150.py",
]
custom_imports = dict(imports=["ovss_plugins.lseg"])
protocol = "lseg"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="LSegEncoder",
        model="ViT-B-32-quickgelu",
        pretrained="openai",
        backbone=dict(
            type="TimmViT",
            model="vit_large_patch16_384",
            pretrained="vit_large_patch16_384.augreg_in21k_ft_in1k",
            blocks=(5, 11, 17, 23),
        ),
        level_dims=(256, 512, 1024, 1024),
        level_scales_of_patches=(4, 2, 1, 0.5),
        dim=256,
        pixel_mean=(127.5, 127.5, 127.5),
        pixel_std=(127.5, 127.5, 127.5),
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead"),
    decoder=dict(type="SpatialBlockDecoder", scale=1 / 0.07, block="none"),
    post_processor=dict(type="Identity"),
    criterion=dict(type="cross_entropy"),
    prompts=dict(templates="name", synonyms="first"),
    inference=dict(
        mode="multi_scale",
        size=520,
        window=480,
        stride=320,
        scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        mirror=True,
        merge="logits",
        activation="softmax",
    ),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="EndlessSampler"),
    dataset=dict(
        type="ImageMaskDataset",
        images="{{$OVSS_DATA:data}}/ade20k_150/images/train",
        masks="{{$OVSS_DATA:data}}/ade20k_150/masks/train",
        vocabulary="ade20k_150",
        ignored=(255,),
        pipeline=[
            dict(type="RandomFlip", prob=0.5),
            dict(type="ScaleJitter", size=520, ratio=(0.5, 2.0)),
            dict(type="RandomCrop", crop_size=(480, 480)),
            dict(type="Pad", size=(480, 480), pad_val=dict(img=0, seg=-1)),
            dict(type="PackSample"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        type="ImageMaskDataset",
        images="{{$OVSS_DATA:data}}/ade20k_150/images/val",
        masks="{{$OVSS_DATA:data}}/ade20k_150/masks/val",
        vocabulary="ade20k_150",
        ignored=(255,),
        pipeline=[dict(type="PackSample")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="OpenVocabIoU")
test_evaluator = val_evaluator
# 0.004 / 16 for each image of a step, times 8 images; the head is everything but the backbone.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=0.004 / 16 * 8, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            "encoder.fusion": dict(lr_mult=10.0),
            "encoder.project": dict(lr_mult=10.0),
        },
    ),
)
param_scheduler = [
    dict(type="PolyLR", by_epoch=False, begin=0, end=606000, power=0.9, eta_min=0.0),
]
train_cfg = dict(max_iters=606000, val_interval=25000)  # 240 epochs of 20,210 images
