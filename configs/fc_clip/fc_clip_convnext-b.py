"""FC-CLIP ConvNeXt-B."""

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
        ),
        embedders=[dict(type="PooledEmbedder")],
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=640,
        scales=(1 / 0.07, 100.0),
        learn_scale=True,
        ensemble=dict(seen=(0.6, 0.4), unseen=(0.2, 0.8)),
        seen="coco_panoptic_133",
    ),
    decoder=dict(type="ComposeDecoder", merge_at_input=False),
    post_processor=dict(type="Identity"),
    criterion=dict(type="set_matching"),
    prompts=dict(templates="vild_14", synonyms="max"),
    inference=dict(mode="whole", size=800, keep_ratio=True, longest=1333, activation="none"),
)
