"""SAN ViT-B/16: a side adapter proposes masks, and tells CLIP's last blocks where to look.

Paper:  Side Adapter Network for Open-Vocabulary Semantic Segmentation, CVPR 2023, arXiv 2302.12242.
        Outputs equal those of the authors' code (see plugins/san/README.md).
Weights: the authors' checkpoint, converted:
        ovss convert san san_vit_b_16.pth san_vit-b16.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model san_vit-b16 --weights F
Train:  ovss train san_vit-b16      (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   published: A-847 10.1, PC-459 12.6, A-150 27.5, PC-59 53.8, PAS-20 94.0; log of the released
        training: 10.2, 16.7, 27.6, 54.1, 94.0.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code: AdamW 1e-4 for the adapter and CLIP's position embedding; decay 1e-4
        except for norms, positions and queries; gradient norm clipped to 0.01; polynomial
        schedule with power 0.9, no warm-up; 60,000 steps of 32 images over all GPUs; short side
        320 to 960, crop 640, SSD colours, flip, padded with 128; half precision (--amp).
Hours:  training not run here. Published setting: 60,000 steps of 32 images on 4 GPUs.
Size:   157,840,307 parameters, 8,370,866 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.san"])
protocol = "san"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="SANEncoder",
        model="ViT-B-16-quickgelu",
        pretrained="openai",
        clip_scale=0.5,
        split=9,
        fusion=((0, 0), (3, 1), (6, 2), (9, 3)),
        queries=100,
        width=240,
        depth=8,
        heads=6,
        patch=16,
        grid=40,
        mask_dim=256,
        supervised=(7, 8),
        divisor=32,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="RegionHead", joint_dim=512, scales=(100.0,), void_std=512**-0.5),
    decoder=dict(type="ComposeDecoder"),
    post_processor=dict(type="Identity"),
    criterion=dict(type="set_matching"),
    prompts=dict(templates="vild_14", synonyms="verbatim"),
    inference=dict(mode="whole", size=640, keep_ratio=True, longest=2560, activation="none"),
)

# Short side of training images; the longer side is at most 2560.
_sizes = (320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960)
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
    optimizer=dict(lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        custom_keys={
            "encoder.clip.visual.positional_embedding": dict(decay_mult=0.0),
            "encoder.side.positions": dict(decay_mult=0.0),
            "encoder.side.queries": dict(decay_mult=0.0),
            "encoder.side.query_positions": dict(decay_mult=0.0),
            "encoder.side.fusion": dict(norm_decay_mult=1.0),
        }
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = [dict(type="PolyLR", by_epoch=False, begin=0, end=60000, power=0.9, eta_min=0.0)]
train_cfg = dict(max_iters=60000, val_interval=5000)
