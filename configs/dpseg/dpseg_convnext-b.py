"""DPSeg ConvNeXt-B: SED's encoder and fusion, with visual prompts as well as text, in two passes.

Paper:  DPSeg: Dual-Prompt Cost Volume Learning for Open-Vocabulary Semantic Segmentation, CVPR
        2025, arXiv 2505.11676. No code or weights are public: see plugins/dpseg/README.md.
Bank:   ovss visual-prompts dpseg_convnext-b --vocabulary coco_stuff_171
            --from diffusers --model stable-diffusion-v1-5/stable-diffusion-v1-5
            --out data/visual_prompts/convnext-b/coco_stuff_171
        Build one for each vocabulary to test on and add it to model.encoder.bank; None runs
        without visual prompts.
Train:  ovss train dpseg_convnext-b       (COCO-Stuff 164k in data/coco_stuff_171)
Run:    ovss segment photo.jpg --words "cat, grass" --model dpseg_convnext-b --weights F
        One pass: --cfg-options model.refinement=None
mIoU:   published: A-847 12.5, PC-459 20.1, A-150 33.3, PC-59 58.4, PAS-20 96.9;
        one pass: 12.0, 19.5, 32.9, 58.1, 96.0. Not measured here.
Recipe: the published settings (AdamW 2e-4, image tower x 0.01, decay 1e-4, 80,000 steps of 4 images
        over all GPUs, text and visual prompts frozen). All others are SED's: norm clipped to 0.01,
        half a cosine, short side 768, crop 768, SSD colours, flip, padded with 128, TF32.
Hours:  training not run here. Published setting: 80,000 steps of 4 images on 2 GPUs.
Memory: not measured.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.dpseg"])
protocol = "dpseg"
matmul_precision = "high"  # TF32 on GPUs that support it
model = dict(
    type="DPSegmentor",
    encoder=dict(
        type="DualPromptEncoder",
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
        bank=("data/visual_prompts/convnext-b/coco_stuff_171",),
        fusion="average",
        pre_norm=True,
        missing="text",
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead", num_templates=80),
    decoder=dict(
        type="CVGDecoder",
        level_dims=(128, 256, 512),
        cost_dim=80,
        dim=128,
        embed_kernel=7,
        stage_dims=(64, 32, 16),
        guides=(32, 16, 8),
        visual_guides=(32, 16, 8),
        reduce="conv1x1_m",
        dilations=(1, 2, 4),
        axis="class",
        heads=4,
        expand=4,
        pool=(2, 1),
        detach_levels=True,
        aux=True,
        chunk=8,
    ),
    post_processor=dict(type="Identity"),
    criterion=dict(type="bce"),
    prompts=dict(templates="imagenet_80", synonyms="average"),
    inference=dict(mode="whole", size=768),
    refinement=dict(crop="masked_bbox", fill="mean", alpha=1.0, min_area=0.0),
)

# The shared schedule sets AdamW and half a cosine over 80,000 steps. Norms have no weight decay.
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.01))),
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
