"""ZSSeg R101c + ViT-B/16: MaskFormer's regions, classified with learned prompts.

Paper:  A Simple Baseline for Open-Vocabulary Semantic Segmentation with Pre-trained Vision-language
        Model, ECCV 2022, arXiv 2112.14757.
Weights: the authors' checkpoint, converted:
        ovss convert two_stage zsseg_R101c_learn_prompt.pth zsseg_r101c.safetensors
        For their checkpoint with ViLD's prompts (120,000 steps): --cfg-options
        model.encoder.encoder.prompt_vectors=0 model.prompts.templates=vild_14
Run:    ovss segment photo.jpg --words "cat, grass" --model zsseg_r101c --weights F
Train:  ovss train zsseg_r101c --cfg-options model.encoder.proposer.backbone.pretrained=F
        with F, DeepLab's R-103 of detectron2 as a weight file with timm's names
        (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   OVSeg's paper quotes A-150 15.3 and PAS-20 74.5. The authors report zero-shot splits of COCO
        and VOC, and choose three constants by dataset, which plugins/two_stage/README.md lists.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code: AdamW 1e-4, backbone x 0.1, CLIP frozen; decay 1e-4 except for norms and
        queries; gradient norm clipped to 0.01; polynomial schedule with power 0.9, no warm-up;
        60,000 steps of 32 images over all GPUs; the 156 seen classes of COCO-Stuff; short side 320
        to 960, crop 640, SSD colours, flip, padded with 128.
        Differences: the authors train the 16 vectors of the prompt before, on crops of the ground
        truth, and keep them fixed. Here they train along unless they come from their checkpoint
        (then set model.encoder.encoder.train_prompts=False).
Hours:  training not run here. Published setting: 60,000 steps of 32 images.
Size:   210,696,641 parameters, 61,075,904 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.two_stage"])
protocol = "zsseg"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WithProposals",
        encoder=dict(
            type="OpenCLIPEncoder",
            model="ViT-B-16-quickgelu",
            pretrained="openai",
            image_size=224,  # the whole image, for selectors only; regions are seen as crops
            trainable="none",
            prompt_vectors=16,
            train_prompts=True,
        ),
        proposer=dict(
            type="MaskFormerProposer",
            joint_dim=512,
            backbone=dict(
                type="ResNet",
                depth=101,
                deep_stem=True,
                dilations=(1, 2, 4),
                frozen_stages=0,
                pretrained=None,  # DeepLab's R-103, see the header
            ),
            queries=100,
            class_hidden=1024,
        ),
        embedders=[dict(type="CropEmbedder", threshold=0.5)],
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=512,
        scales=(100.0, 100.0),
        void="normalized",
        void_std=512**-0.5,
        seen="coco_stuff_156",
        ensemble=dict(
            seen=(0.8, 0.2),
            unseen=(0.2, 0.8),
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
    prompts=dict(templates=("{}.",), synonyms="verbatim"),
    inference=dict(mode="whole", size=512, keep_ratio=True, longest=2048, activation="none"),
)

# Short side of training images; the longer side is at most 2560.
_sizes = (320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960)
train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        seen="coco_stuff_156",
        only_seen=True,
        pipeline=[
            dict(
                type="RandomChoice",
                transforms=[[dict(type="ShortestEdge", size=s, max_size=2560)] for s in _sizes],
            ),
            dict(type="RandomCrop", crop_size=(640, 640)),
            dict(type="ColorAugSSD"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="Pad", size=(640, 640), pad_val=dict(img=128, seg=-1)),
            dict(type="PackSample"),
        ],
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        custom_keys={
            "encoder.proposer.backbone": dict(lr_mult=0.1),
        }
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = [
    dict(type="PolyLR", by_epoch=False, begin=0, end=60000, power=0.9, eta_min=0.0),
]
train_cfg = dict(max_iters=60000, val_interval=10000)
