"""CAT-Seg ViT-B/16: CLIP's cost volume, aggregated over space and over categories.

Paper:  CAT-Seg: Cost Aggregation for Open-Vocabulary Semantic Segmentation, CVPR 2024,
        arXiv 2303.11797. Outputs equal those of the authors' code (see plugins/cat_seg/README.md).
Weights: the authors' checkpoint, converted:
        ovss convert cat_seg model_base.pth cat_seg_vit-b16.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model cat_seg_vit-b16 --weights F
Train:  ovss train cat_seg_vit-b16      (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   published: A-847 12.0, PC-459 19.0, A-150 31.8, PC-59 57.5, PAS-20 94.6, PAS-20b 77.3.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code (checked by tests/training/test_recipes.py): AdamW 2e-4, CLIP's queries
        and values x 0.01, decay 1e-4 except for norms; gradient norm clipped to 0.01; half a
        cosine, no warm-up; 80,000 steps of 4 images over all GPUs; short side 384, crop 384, SSD
        colours, flip, padded with 128; unlabelled pixels negative; TF32.
        Differences: the last block's queries, which get no gradient, have no weight decay either;
        validation runs as testing does, while the authors validate on the resized square image.
Hours:  training not run here. Published setting: 80,000 steps of 4 images on 4 GPUs.
Size:   154,289,378 parameters, 25,115,873 of them trained.
Memory: 0.7 GiB above the weights for one image and 150 categories on a CPU. Training:
        8.6 GiB per image on a CPU, 4.2 with gradient_checkpointing=True (docs/training.md).
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.cat_seg"])
protocol = "cat_seg"
matmul_precision = "high"  # TF32 on GPUs that support it
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPEncoder",
        model="ViT-B-16-quickgelu",
        pretrained="openai",
        image_size=384,
        levels=(3, 7),
        dense="cat_seg",
        trainable="qv",
    ),
    selector=dict(type="ClipTopK", k=256),
    head=dict(type="CosineHead"),
    decoder=dict(
        type="CATSegDecoder",
        joint_dim=512,
        level_dims=(768, 768),
        dim=128,
        layers=2,
        heads=4,
        window=12,
        expand=4,
        pool=(2, 1),
        pad_length=256,
        level_middle=(256, 128),
        level_guides=(32, 16),
        stage_dims=(64, 32),
        chunk=16,
    ),
    post_processor=dict(type="Identity"),
    criterion=dict(type="bce"),
    prompts=dict(templates="cat_seg", synonyms="first"),
    inference=dict(mode="slide", size=640, window=384, stride=256, global_view=True),
)

# The shared schedule sets AdamW and half a cosine over 80,000 steps. Norms have no weight decay.
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.01))),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
