"""DeOP R101c + ViT-B/16: one pass of CLIP over the image, pooled by MaskFormer's regions.

Paper:  Open-Vocabulary Semantic Segmentation with Decoupled One-Pass Network, ICCV 2023,
        arXiv 2304.01198. The authors' code has no licence and their checkpoints no converter here.
Run:    ovss test deop_r101c F --on ade20k_150     (F: weights of a training)
Train:  ovss train deop_r101c --cfg-options load_from=zsseg_r101c.safetensors
        (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   the authors publish their tables as images only. Not measured here.
Recipe: the paper and the authors' code: MaskFormer and the prompt vectors come from zsseg_r101c and
        stay fixed (load_from). Only position tables, pooling and the void vector train: AdamW 2e-4,
        decay 1e-4 except for norms and queries; gradient norm clipped to 0.01; polynomial schedule
        with power 0.9; 60,000 steps of 16 images over all GPUs; the 156 seen classes of COCO-Stuff;
        short side 320 to 960, crop 640, SSD colours, flip, padded with 128.
Hours:  training not run here.
Size:   217,350,081 parameters, 7,441,920 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.two_stage"])
protocol = "zsseg"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WithProposals",
        encoder=dict(
            type="OpenCLIPEncoder",
            model="ViT-B-16-quickgelu",
            pretrained="openai",
            image_size=224,  # for selectors only; regions come from a pass of their own
            trainable="none",
            prompt_vectors=16,
        ),
        proposer=dict(
            type="MaskFormerProposer",
            backbone=dict(
                type="ResNet",
                depth=101,
                deep_stem=True,
                dilations=(1, 2, 4),
                frozen_stages=0,
                pretrained=None,  # DeepLab's R-103, see the header
            ),
            queries=100,
            dropout=0.0,
            trainable=False,
        ),
        embedders=[dict(type="OnePassEmbedder", dim=512, width=768, queries=100)],
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="RegionHead", joint_dim=512, scales=(100.0,), void_std=512**-0.5),
    decoder=dict(type="ComposeDecoder", merge_at_input=True),
    post_processor=dict(type="Identity"),
    criterion=dict(type="merged_maps", focal_weight=2.0, dice_weight=0.8, alpha=0.25, gamma=2.0),
    prompts=dict(templates=("{}.",), synonyms="verbatim"),
    inference=dict(mode="whole", size=512, keep_ratio=True, longest=2048, activation="none"),
)

# Short side of training images; the longer side is at most 2560.
_sizes = (320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        seen="coco_stuff_156",
        only_seen=True,
        pipeline=[
            dict(
                type="RandomChoice",
                transforms=[[dict(type="ShortestEdge", size=s, max_size=2560)] for s in _sizes],
            ),
            dict(type="RandomCrop", crop_size=(640, 640)),
            dict(type="ColorAugSSD"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="Pad", size=(640, 640), pad_val=dict(img=128, seg=-1)),
            dict(type="PackSample"),
        ],
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = [
    dict(type="PolyLR", by_epoch=False, begin=0, end=60000, power=0.9, eta_min=0.0),
]
train_cfg = dict(max_iters=60000, val_interval=10000)
