"""FC-CLIP ConvNeXt-B: one frozen convolutional CLIP proposes masks and classifies them.

Paper:  Convolutions Die Hard: Open-Vocabulary Segmentation with Single Frozen Convolutional CLIP,
        NeurIPS 2023, arXiv 2308.02487. Outputs equal those of the authors' code in this size (see
        plugins/fc_clip/README.md).
Weights: the authors published no checkpoint of this size; fc_clip_convnext-l has one.
Run:    ovss segment photo.jpg --words "cat, grass" --model fc_clip_convnext-b --weights F
        Order of merging that the authors use on A-847, PC-59, PC-459 and PAS-20/21:
        --cfg-options model.decoder.merge_at_input=True
Train:  ovss train fc_clip_convnext-b --amp float16     (COCO-Stuff 164k in data/coco_stuff_171)
        Then test with --cfg-options model.head.seen=coco_stuff_171
mIoU:   nothing published in this size, and not run here.
Recipe: the authors' (checked by tests/plugins/fc_clip): AdamW 1e-4, decay 0.05 but for norms,
        queries and the vector of "no object"; CLIP frozen; gradient norm clipped to 0.01; 368,750
        steps of 16 images over all GPUs, a tenth of the rate from 327,778 and again from 355,092;
        scale jitter 0.1 to 2, crop 1,024, flip, padded with 128. Theirs trains on the segments of
        133 panoptic categories, this one on one region for each category of COCO-Stuff in an image.
Hours:  training not run here. The authors: 3.2 days on 8 V100 (ConvNeXt-L).
Size:   199,751,362 parameters, 20,366,017 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.fc_clip"])
protocol = "fc_clip"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WithProposals",
        encoder=dict(
            type="OpenCLIPConvNeXtEncoder",
            model="convnext_base_w_320",
            pretrained="laion_aesthetic_s13b_b82k",
            image_size=None,
            fit="pad",
            levels=(0, 1, 2, 3),
            trainable="none",
        ),
        proposer=dict(
            type="Mask2FormerProposer",
            level_dims=(128, 256, 512, 1024),
            joint_dim=640,
            queries=100,
            dim=256,
            heads=8,
            pixel_layers=6,
            pixel_feedforward=1024,
            points=4,
            layers=9,
            feedforward=2048,
            class_embedding="pooled",
        ),
        embedders=[dict(type="PooledEmbedder")],
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=640,
        scales=(1 / 0.07, 100.0),
        learn_scale=True,
        void="normalized",
        ensemble=dict(seen=(0.6, 0.4), unseen=(0.2, 0.8)),
        seen="coco_panoptic_133",
    ),
    decoder=dict(type="ComposeDecoder", merge_at_input=False),
    post_processor=dict(type="Identity"),
    criterion=dict(type="set_matching"),
    prompts=dict(templates="vild_14", synonyms="max"),
    inference=dict(mode="whole", size=800, keep_ratio=True, longest=1333, activation="none"),
)

# Norms and embeddings have no weight decay; the vector of "no object" is an embedding in the
# authors' code.
_rules = {"head.void": dict(decay_mult=0.0)}
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=_rules),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
_tenth = dict(type="MultiStepLR", by_epoch=False, milestones=[327778, 355092], gamma=0.1)
param_scheduler = [_tenth]
train_cfg = dict(max_iters=368750, val_interval=5000)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        pipeline=[
            dict(type="RandomFlip", prob=0.5),
            dict(type="ScaleJitter", size=1024, ratio=(0.1, 2.0)),
            dict(type="RandomCrop", crop_size=(1024, 1024)),
            dict(type="Pad", size=(1024, 1024), pad_val=dict(img=128, seg=-1)),
            dict(type="PackSample"),
        ],
    ),
)
