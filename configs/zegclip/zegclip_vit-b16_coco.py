"""ZegCLIP ViT-B/16 on COCO-Stuff 156/15, inductive: CLIP with deep prompts, masks by attention.

Paper:  ZegCLIP: Towards Adapting CLIP for Zero-shot Semantic Segmentation, CVPR 2023,
        arXiv 2212.03588. Outputs equal those of the authors' code (see plugins/zegclip/README.md).
Weights: the authors' checkpoint, converted:
        ovss convert zegclip iter_80000.pth zegclip_vit-b16_coco.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model zegclip_vit-b16_coco --weights F
Train:  ovss train zegclip_vit-b16_coco      (COCO-Stuff 164k in data/coco_stuff_171)
mIoU:   published, seen / unseen / harmonic mean: 40.2 / 41.1 / 40.8 (README; the harmonic mean of
        the first two is 40.6, the README averages runs). Pixel accuracy 62.0. With the labels of
        all categories (train_dataloader.dataset.only_seen=False): 40.7 / 63.2 / 49.6.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code: AdamW 2e-4 with decay 0.01 for everything that trains (prompts and head);
        warm-up over 1,500 steps, polynomial schedule with power 0.9 to 1e-6; 80,000 steps of 16
        images over all GPUs; short side 512 times 0.5 to 2.0, crop 512 in which no category fills
        more than 75 %, flip, photometric distortion; padded with the mean color; unlabelled pixels
        are negatives.
Hours:  training not run here. Published setting: 80,000 steps of 16 images on 4 GPUs.
Size:   159,125,248 parameters, 8,868,608 of them trained. The authors count 14,650,624, because
        their head has 5,782,016 more that it never uses.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.zegclip"])
protocol = "zegclip"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="DeepPromptEncoder",
        model="ViT-B-16-quickgelu",
        pretrained="openai",
        prompts=100,
        grid=32,
        pixel_mean=(123.675, 116.28, 103.53),  # of ImageNet, not of CLIP
        pixel_std=(58.395, 57.12, 57.375),
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="RelationshipHead", joint_dim=512, layers=3, heads=8),
    decoder=dict(type="UpsampleDecoder", scale=1.0),  # windows are resized before the sigmoid
    post_processor=dict(type="CalibratedStacking", gamma=0.1, seen="coco_stuff_156"),
    criterion=dict(type="focal_dice", focal_weight=100.0, dice_weight=1.0),
    prompts=dict(templates="zegclip", synonyms="verbatim"),
    inference=dict(
        mode="slide", size=512, keep_ratio=True, window=512, stride=426, global_view=False
    ),
)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        seen="coco_stuff_156",
        only_seen=True,
        pipeline=[
            dict(type="RandomScale", ratio=(0.5, 2.0), short=512, longest=2048),
            dict(type="RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PhotoMetricDistortion"),
            dict(type="Pad", size=(512, 512), pad_val=dict(img=(124, 116, 104), seg=-1)),
            dict(type="PackSample"),
        ],
    ),
)
val_evaluator = dict(seen="coco_stuff_156")
test_evaluator = val_evaluator
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=1.0),
)
param_scheduler = [
    dict(type="LinearLR", by_epoch=False, begin=0, end=1500, start_factor=1e-6),
    dict(type="PolyLR", by_epoch=False, begin=0, end=80000, power=0.9, eta_min=1e-6),
]
train_cfg = dict(max_iters=80000, val_interval=5000)
