"""OVSeg Swin-B + ViT-L/14: MaskFormer's regions, classified by a CLIP adapted to masked crops.

Paper:  Open-Vocabulary Semantic Segmentation with Mask-adapted CLIP, CVPR 2023, arXiv 2210.04150.
Weights: the authors' checkpoint, converted:
        ovss convert two_stage ovseg_swinbase_vitL14_ft_mpt.pth ovseg_swin-b.safetensors
        They are published under CC BY-NC 4.0, so that converted files are too.
Run:    ovss segment photo.jpg --words "cat, grass" --model ovseg_swin-b --weights F
Train:  ovss train ovseg_swin-b      (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   published: A-847 9.0, PC-459 12.4, A-150 29.6, PC-59 55.7, PAS-20 94.5. The weight of CLIP
        in the ensemble is 0.7 except on PC (0.6) and PAS-20 (0.45), see
        plugins/two_stage/README.md.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code: AdamW 6e-5, CLIP frozen; decay 0.01 except for norms, queries and
        relative places; gradient norm clipped to 0.01; polynomial schedule with power 0.9 and
        1,500 steps of warm-up; 120,000 steps of 32 images over all GPUs; short side 320 to 1280,
        crop 640, SSD colours, flip, padded with 128. For CLIP see ovseg_r101c.
Hours:  training not run here. Published setting: 120,000 steps of 32 images.
Size:   531,244,665 parameters, 102,841,720 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.two_stage"])
protocol = "san"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WithProposals",
        encoder=dict(
            type="OpenCLIPEncoder",
            model="ViT-L-14-quickgelu",
            pretrained="openai",
            image_size=224,  # the whole image, for selectors only; regions are seen as crops
            trainable="none",
        ),
        proposer=dict(
            type="MaskFormerProposer",
            joint_dim=768,
            backbone=dict(
                type="Swin",
                dim=128,
                depths=(2, 2, 18, 2),
                heads=(4, 8, 16, 32),
                window=12,
                drop_path=0.3,
                pretrained="swin_base_patch4_window12_384.ms_in22k",
            ),
            queries=100,
            class_hidden=1024,
        ),
        embedders=[dict(type="CropEmbedder", threshold=0.4, mask_prompts=(3, 256, 1024))],
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=768,
        scales=(100.0, 100.0),
        void="normalized",
        void_std=768**-0.5,
        ensemble=dict(
            seen=(0.3, 0.7),
            unseen=(0.3, 0.7),
            softmax=("void", "categories"),
            renormalize=False,
            empty="one",
        ),
    ),
    decoder=dict(type="ComposeDecoder", merge_at_input=True),
    post_processor=dict(type="Identity"),
    criterion=dict(
        type="set_matching",
        class_weight=1.0,
        mask_weight=20.0,
        dice_weight=1.0,
        no_object=0.1,
        mask_loss="focal",
        points=None,
    ),
    prompts=dict(templates="vild_14", synonyms="verbatim"),
    inference=dict(mode="whole", size=640, keep_ratio=True, longest=2560, activation="none"),
)

# Short side of training images; the longer side is at most 2560.
_sizes = (320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1024, 1088, 1152, 1216, 1280)
train_dataloader = dict(
    batch_size=32,
    dataset=dict(
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
        ]
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            "relative_position_bias_table": dict(decay_mult=0.0),
        }
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", by_epoch=False, begin=0, end=1500, start_factor=1e-6),
    dict(type="PolyLR", by_epoch=False, begin=0, end=120000, power=0.9, eta_min=0.0),
]
train_cfg = dict(max_iters=120000, val_interval=10000)
