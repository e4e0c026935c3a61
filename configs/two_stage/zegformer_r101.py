"""ZegFormer R101 + ViT-B/16: MaskFormer's regions, classified by their queries and by CLIP.

Paper:  Decoupling Zero-Shot Semantic Segmentation, CVPR 2022, arXiv 2112.07910.
Weights: the authors' checkpoint, converted:
        ovss convert two_stage zegformer_R101.pth zegformer_r101.safetensors
        They are published under CC BY-NC 4.0, so that converted files are too.
Run:    ovss segment photo.jpg --words "cat, grass" --model zegformer_r101 --weights F
Train:  ovss train zegformer_r101      (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   OVSeg's paper quotes A-150 16.4 and PAS-20 80.7. The authors report zero-shot splits of COCO
        and VOC, with the seen and unseen categories apart.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code: AdamW 1e-4, backbone x 0.1, CLIP frozen; decay 1e-4 except for norms and
        queries; gradient norm clipped to 0.01; polynomial schedule with power 0.9, no warm-up;
        60,000 steps of 32 images over all GPUs, half precision (--amp); the 156 seen classes of
        COCO-Stuff; short side 320 to 960, crop 640, SSD colours, flip, padded with 128.
        Differences: synonyms are averaged for each template, and not over all prompts at once.
        Two tests of the authors have other settings, see plugins/two_stage/README.md.
Hours:  training not run here. Published setting: 60,000 steps of 32 images.
Size:   209,908,673 parameters, 60,287,936 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.two_stage"])
protocol = "zegformer"
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
        ),
        proposer=dict(
            type="MaskFormerProposer",
            joint_dim=512,
            backbone=dict(type="ResNet", depth=101, pretrained="resnet101.tv_in1k"),
            queries=100,
        ),
        embedders=[dict(type="CropEmbedder", threshold=0.5, resize="average")],
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=512,
        scales=(100.0, 100.0),
        void="plain",
        void_std=(3 * 512) ** -0.5,
        templates=(8, 32),
        seen="coco_stuff_156",
        ensemble=dict(
            seen=(2 / 3, 1 / 3),
            unseen=(1 / 3, 2 / 3),
            softmax=("void", "void"),
            first_void=True,
            mean_seen=True,
            renormalize=False,
            empty="count",
        ),
    ),
    decoder=dict(type="ComposeDecoder", merge_at_input=True),
    post_processor=dict(type="CalibratedStacking", gamma=0.1, seen="coco_stuff_156"),
    criterion=dict(
        type="set_matching",
        class_weight=1.0,
        mask_weight=20.0,
        dice_weight=1.0,
        no_object=0.1,
        mask_loss="focal",
        points=None,
    ),
    prompts=dict(templates="zegformer", synonyms="average"),
    inference=dict(mode="whole", size=640, keep_ratio=True, longest=2560, activation="none"),
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
