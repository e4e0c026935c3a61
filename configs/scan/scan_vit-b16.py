"""SCAN ViT-B/16: Mask2Former with CLIP's context, and masked crops with tokens of the whole image.

Paper:  Open-Vocabulary Segmentation with Semantic-Assisted Calibration, CVPR 2024,
        arXiv 2312.04089. Outputs equal those of the authors' code (see plugins/scan/README.md).
Weights: the authors published ViT-L/14 only, under CC BY-NC 4.0: no commercial use. Converted:
        ovss convert scan scan_vitL.pth scan_vit-l14.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model scan_vit-l14 --weights F
Train:  ovss train scan_vit-b16      (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   published: A-847 10.8, PC-459 13.2, A-150 30.8, PC-59 58.4, PAS-20 97.0, with a mask
        threshold, an ensemble weight and a share of replaced patches chosen for each test set. This
        config has those of A-150; plugins/scan/README.md lists the others.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code: AdamW 6e-5 for all that trains, decay 0.01 except for norms, queries and
        relative positions; gradient norm clipped to 0.01; polynomial schedule with power 0.9 after
        1,500 steps of warm-up; 120,000 steps of 32 images over all GPUs; short side 320 to 1280,
        crop 640, SSD colours, flip, padded with 128. Swin-B starts from ImageNet-22k. The second
        copy of CLIP is not trained here.
Hours:  training not run here.
Size:   371,461,178 parameters, 135,647,801 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.scan"])
protocol = "san"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="SCANEncoder",
        model="ViT-B-16",
        pretrained="datacomp_xl_s13b_b90k",
        backbone=dict(
            type="Swin",
            pretrained="swin_base_patch4_window12_384.ms_in22k",
            dim=128,
            depths=(2, 2, 18, 2),
            heads=(4, 8, 16, 32),
            window=12,
            drop_path=0.3,
        ),
        regions=dict(
            pretrained=None,
            replaced=(1, 3, 5),
            threshold=0.4,
            ratio=0.05,
            order="seeded",
            seed=0,
            chunk=10,
        ),
        taps=(6, 9, 12),
        sigmas=(9.0, 7.0, 3.0),
        queries=100,
        dim=256,
        heads=8,
        pixel_layers=6,
        pixel_feedforward=1024,
        layers=10,
        feedforward=2048,
        supervised=9,
        hidden=1024,
        context=dict(layers=5, heads=8, feedforward=2048, dropout=0.1),
        divisor=32,
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=512,
        scales=(100.0, 100.0),
        void_std=512**-0.5,
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
    criterion=dict(type="set_matching"),
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
train_cfg = dict(max_iters=120000, val_interval=5000)
