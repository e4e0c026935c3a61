"""Training-free: CLIP's last block attends inside superpixels; mini scale.

Paper: CorrCLIP, ICCV 2025, arXiv 2411.10086. At mini scale a second model is missing: queries and
       keys of CLIP's own last block say which cells are similar, and superpixels are the regions.
Needs: the extra `superpixels` (scikit-image).
Run:   ovss test corrclip_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 61.2 / 59.7 / 60.4;
       without RegionMode 59.5 / 58.7 / 59.1.
Weights: none to train.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.corrclip"])
protocol = "mini_training_free"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="CorrCLIPEncoder",
        clip=dict(
            type="OpenCLIPEncoder",
            model="mini_clip",
            pretrained="mini_clip",
            image_size=96,
            trainable="none",
        ),
        proposer=dict(type="SuperpixelProposer", regions=40, compactness=10.0, sigma=1.0),
        vfm=None,
        spatial=2,
        spatial_weight=1.0,
        semantic_weight=0.5,
        sharpness=4.0,
        eps=0.2,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead"),
    decoder=dict(type="UpsampleDecoder", scale=100.0),
    post_processor=dict(
        type="RegionMode",
        proposer=dict(type="SuperpixelProposer", regions=40, compactness=10.0, sigma=1.0),
    ),
    prompts=dict(templates=("a photo of a {}.",), synonyms="max"),
    inference=dict(mode="whole", size=96, activation="softmax"),
)
