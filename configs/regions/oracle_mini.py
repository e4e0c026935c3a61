"""Upper bound of methods that compare regions, at mini scale: masks of the ground truth.

The mini CLIP's dense tokens are averaged in each true region and compared with the categories.
What is wrong here is the classification alone, so no method with these embeddings can do better.
It reads the label maps of the test images; it is a bound, not a method.

Test:  ovss test oracle_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 90.8 / 86.7 / 88.7.
Weights: none to train.
"""

_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/mini_150.py"]
protocol = "mini_regions"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WithProposals",
        encoder=dict(
            type="OpenCLIPEncoder",
            model="mini_clip",
            pretrained="mini_clip",
            image_size=96,
            dense="maskclip",
        ),
        proposer=dict(type="OracleProposer"),
        embedders=[dict(type="DensePool")],
    ),
    head=dict(type="RegionHead", joint_dim=128, scales=(43.4,), void="none"),
    decoder=dict(type="ComposeDecoder"),
    prompts=dict(templates=("a photo of a {}.",), synonyms="first"),
    inference=dict(mode="whole", size=96, activation="none"),
)
