"""EBSeg ViT-B/16: CLIP and SAM propose masks together, and three embeddings name each mask.

Paper:  Open-Vocabulary Semantic Segmentation with Image Embedding Balancing, CVPR 2024,
        arXiv 2406.09829. Outputs equal those of the authors' code (see plugins/ebseg/README.md).
Weights: the authors' checkpoint, converted:
        ovss convert ebseg ebseg_b.pth ebseg_vit-b16.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model ebseg_vit-b16 --weights F
Train:  ovss train ebseg_vit-b16 --cfg-options model.encoder.sam.pretrained=sam_vit_b_01ec64.pth
        (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   published: A-847 11.1, PC-459 17.3, A-150 30.0, PC-59 56.7, PAS-20 94.6.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code: AdamW 1e-4 for all that trains, decay 0.05 except for norms, positions
        and queries; gradient norm clipped to 0.01; polynomial schedule with power 0.9, no warm-up;
        120,000 steps of 16 images over all GPUs; short side 320 to 960, crop 640, SSD colours,
        flip, padded with 128; half precision (--amp). Two sources train, with a class loss of 1.5
        each, and the similarities of the texts with a loss of 10.
Hours:  training not run here.
Size:   261,829,572 parameters, 26,622,403 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.ebseg"])
protocol = "san"
# Exponents of the query embedding, of CLIP's region token and of the mean of CLIP's dense tokens.
_ensemble = dict(
    seen=(0.21, 0.7, 0.09), unseen=(0.0, 0.7, 0.3), softmax=("categories",), product_floor=1e-8
)
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="EBSegEncoder",
        model="ViT-B-16-quickgelu",
        pretrained="openai",
        sam=dict(
            pretrained="sam_vit_b_01ec64.pth",  # published file, not downloaded automatically
            width=768,
            depth=12,
            heads=12,
            image_size=1024,
            window=14,
            whole=(2, 5, 8, 11),
        ),
        clip_scale=0.5,
        split=9,
        surgery=2,
        taps=(3, 6, 9),
        queries=100,
        dim=256,
        heads=8,
        pixel_layers=6,
        pixel_feedforward=1024,
        layers=9,
        feedforward=2048,
        divisor=32,
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=512,
        scales=(100.0, 100.0, 100.0),
        normalize=(False, False, False),
        void_std=512**-0.5,
        trained=2,
        ensemble=_ensemble,
        seen="coco_stuff_171",
    ),
    decoder=dict(type="ComposeDecoder"),
    post_processor=dict(type="Identity"),
    criterion=dict(type="set_matching", class_weight=1.5, class_cost=2.0, similarity_weight=10.0),
    prompts=dict(templates="vild_14", synonyms="verbatim"),
    inference=dict(mode="whole", size=640, keep_ratio=True, longest=2560, activation="none"),
)

# Short side of training images; the longer side is at most 2560.
_sizes = (320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960)
train_dataloader = dict(
    batch_size=16,
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
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            "encoder.clip.visual.positional_embedding": dict(decay_mult=0.0),
            "encoder.sam.trunk.pos_embed": dict(decay_mult=0.0),
            "encoder.fusion.norms": dict(norm_decay_mult=1.0),
        }
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = [dict(type="PolyLR", by_epoch=False, begin=0, end=120000, power=0.9, eta_min=0.0)]
train_cfg = dict(max_iters=120000, val_interval=10000)
