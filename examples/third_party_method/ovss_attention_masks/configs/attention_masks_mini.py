"""ZegCLIP's decoder on the frozen mini CLIP: three attention-to-mask layers, mini world.

Paper: ZegCLIP: Towards Adapting CLIP for Zero-shot Semantic Segmentation, CVPR 2023,
       arXiv 2212.03588.
Train: ovss train attention_masks_mini --work-dir work_dirs/attention_masks_mini
Test:  ovss test attention_masks_mini work_dirs/attention_masks_mini/weights.safetensors
mIoU:  on 200 scenes of 150 categories (96 px), seen / unseen / harmonic mean:
       65.0 / 60.2 / 62.5; training-free on the same scenes 60.4 / 59.7 / 60.1.
Hours: 0.05 on one CPU core (600 steps of 8 scenes).
"""

_base_ = [
    "{{$OVSS_CONFIGS:}}/_base_/default_runtime.py",
    "{{$OVSS_CONFIGS:}}/_base_/schedules/adamw_cosine.py",
    "{{$OVSS_CONFIGS:}}/_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_attention_masks"])
train_dataloader = dict(batch_size=8, dataset=dict(vocabulary="mini_556"))
data_preprocessor = dict(sample_words=64)
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPEncoder",
        model="mini_clip",
        pretrained="mini_clip",
        image_size=96,
        dense="maskclip",
        trainable="none",
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead"),
    decoder=dict(type="AttentionToMaskDecoder", joint_dim=128, dim=128, layers=3, heads=4),
    post_processor=dict(type="Identity"),
    criterion=dict(type="cross_entropy"),
    prompts=dict(templates=("a photo of a {}.",), synonyms="first"),
    inference=dict(mode="whole", size=96, activation="softmax"),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
train_cfg = dict(max_iters=600, val_interval=600)
