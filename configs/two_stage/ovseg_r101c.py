"""OVSeg"""

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
            model="ViT-B-16-quickgelu",
            pretrained="openai",
            image_size=224,
            trainable="none",
        ),
        proposer=dict(
            type="MaskFormerProposer",
            joint_dim=512,
            backbone=dict(
                type="ResNet",
                depth=101,
                deep_stem=True,
                dilations=(1, 2, 4),
                frozen_stages=2,
                pretrained=None,
            ),
            queries=100,
            class_hidden=1024,
        ),
        embedders=[
            dict(type="CropEmbedder", threshold=0.5, mask_prompts=(3, 196, 768)),
        ],
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=512,
        scales=(100.0, 100.0),
        void="normalized",
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
    inference=dict(mode="whole", size=512, keep_ratio=True, longest=2048, activation="none"),
)
