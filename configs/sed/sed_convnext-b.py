"""SED ConvNeXt-B: hierarchical CLIP encoder, gradual fusion of its cost volume with its levels.

Paper:  SED: A Simple Encoder-Decoder for Open-Vocabulary Semantic Segmentation, CVPR 2024,
        arXiv 2311.15537. Outputs equal those of the authors' code (see plugins/sed/README.md).
Weights: the authors' checkpoint, converted:
        ovss convert sed sed_model_base.pth sed_convnext-b.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model sed_convnext-b --weights F
        With early rejection (their fast version): --cfg-options model.decoder.top_k=8
Train:  ovss train sed_convnext-b       (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   published: A-847 11.2, PC-459 18.6, A-150 31.8, PC-59 57.7, PAS-20 94.4;
        with top_k=8: 11.4, 18.6, 31.6, 57.3, 94.4.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code (checked by tests/training/test_recipes.py): AdamW 2e-4, image tower
        x 0.01, text encoder frozen; decay 1e-4, for norms only in the decoder's ConvNeXt blocks;
        gradient norm clipped to 0.01; half a cosine, no warm-up; 80,000 steps of 4 images over all
        GPUs; short side 768 (long side at most 2,666), crop 768, SSD colours, flip, padded with
        128; sum of the mask loss and three auxiliary losses; unlabelled pixels negative; TF32.
Hours:  training not run here. Published setting: 80,000 steps of 4 images on 4 GPUs.
Size:   180,761,741 parameters, 89,598,220 of them trained.
Memory: 0.6 GiB above the weights for one image and 150 categories on a CPU; training not run.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.sed"])
protocol = "sed"
matmul_precision = "high"  # TF32 on GPUs that support it
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPConvNeXtEncoder",
        model="convnext_base_w_320",
        pretrained="laion_aesthetic_s13b_b82k",
        image_size=768,
        levels=(0, 1, 2),
        trainable="full",
        trainable_text="none",
        drop_path=0.0,
        dropout=0.0,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead", num_templates=80),
    decoder=dict(
        type="GradualDecoder",
        level_dims=(128, 256, 512),
        cost_dim=80,
        dim=128,
        stage_dims=(64, 32, 16),
        guides=(32, 16, 8),
        kernel=9,
        heads=4,
        expand=4,
        pool=(2, 1),
        top_k=None,
        chunk=8,
    ),
    post_processor=dict(type="Identity"),
    criterion=dict(type="bce"),
    prompts=dict(templates="imagenet_80", synonyms="average"),
    inference=dict(mode="whole", size=768),
)

# The shared schedule sets AdamW and half a cosine over 80,000 steps. Norms have no weight decay,
# except those of the decoder's ConvNeXt blocks: they are of the authors' own class, which their
# rule skips.
_rules = {"encoder": dict(lr_mult=0.01), "space.norm": dict(norm_decay_mult=1.0)}
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=_rules),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
train_cfg = dict(val_interval=10000)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="ShortestEdge", size=768, max_size=2666),
            dict(type="RandomCrop", crop_size=(768, 768)),
            dict(type="ColorAugSSD"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="Pad", size=(768, 768), pad_val=dict(img=128, seg=-1)),
            dict(type="PackSample"),
        ],
    ),
)
