"""Training-free: an inner block of the mini CLIP decides which cells of its last block attend.

Paper: ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation, ECCV 2024,
       arXiv 2408.04883. The paper takes the features of DINO; the mini world has one model only.
Run:   ovss test proxyclip_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 62.3 / 61.2 / 61.8.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/datasets/mini_150.py",
]
protocol = "mini_training_free"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="ProxyEncoder",
        clip=dict(type="OpenCLIPEncoder", model="mini_clip", pretrained="mini_clip"),
        vfm=dict(type="OpenCLIPEncoder", model="mini_clip", pretrained="mini_clip", levels=(2,)),
        proxy=dict(beta=1.2, gamma=3.0),
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead"),
    decoder=dict(type="UpsampleDecoder", scale=100.0),
    post_processor=dict(type="Identity"),
    prompts=dict(templates=("a photo of a {}.",), synonyms="max"),
    inference=dict(mode="whole", size=96, activation="softmax"),
)
