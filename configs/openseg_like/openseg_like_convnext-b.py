"""OpenSeg-like, on CLIP's ConvNeXt-B: masks without categories, grounded in words of whole images.

Not OpenSeg itself: its code and its ALIGN weights are not public, and it trains on captions. This
composition has its two losses and its way of composing masks (plugins/openseg_like/README.md).

Paper:  Scaling Open-Vocabulary Image Segmentation with Image-Level Labels (OpenSeg), ECCV 2022,
        arXiv 2112.12143.
Run:    ovss segment photo.jpg --words "cat, grass" --model openseg_like_convnext-b --weights F
Train:  ovss train openseg_like_convnext-b      (COCO-Stuff 164k in data/coco_stuff_171)
mIoU:   OpenSeg with ALIGN, published: A-847 4.4, PC-459 7.9, A-150 17.5, PC-59 40.1 (ResNet-101).
        This composition has not been trained, so it has no numbers.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.openseg_like"])
protocol = "fc_clip"  # OpenSeg's own is not known in full
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
            levels=(1, 2, 3),
            trainable="none",
        ),
        proposer=dict(
            type="PooledQueryProposer",
            joint_dim=640,
            level_dims=(256, 512, 1024),
            dim=256,
            queries=128,
            layers=3,
            heads=8,
            feedforward=1024,
        ),
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="RegionHead", joint_dim=640, scales=(100.0,), void="none"),
    decoder=dict(type="ComposeDecoder", ownership="softmax"),
    post_processor=dict(type="Identity"),
    criterion=dict(type="grounding", scale=100.0, temperature=0.07, drop=0.25, mask_weight=1.0),
    prompts=dict(templates="vild_14", synonyms="max"),
    inference=dict(mode="whole", size=800, keep_ratio=True, longest=1333, activation="none"),
)
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=0.05), clip_grad=dict(max_norm=1.0))
