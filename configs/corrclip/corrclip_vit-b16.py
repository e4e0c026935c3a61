"""Training-free: CLIP's last block attends inside regions, by the features of DINO.

Paper:  CorrCLIP: Reconstructing Patch Correlations in CLIP for Open-Vocabulary Semantic
        Segmentation, ICCV 2025, arXiv 2411.10086. Outputs equal those of the authors' code (see
        plugins/corrclip/README.md).
Needs:  masks of each image in a folder (the authors take those of SAM 2), MetaCLIP's weights, which
        open_clip downloads, and DINO's, which timm downloads.
Run:    ovss segment photo.jpg --words "cat, grass" --model corrclip_vit-b16
        --cfg-options model.encoder.proposer.folder=DIR model.post_processor.proposer.folder=DIR
mIoU:   published: VOC (20) 88.8, Context-59 48.8, COCO-Stuff 31.6, Cityscapes 49.4, ADE20K 26.9.
        Not run here.
Weights: none to train.
"""

custom_imports = dict(imports=["ovss_plugins.corrclip"])
protocol = "corrclip"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="CorrCLIPEncoder",
        clip=dict(
            type="OpenCLIPEncoder",
            model="ViT-B-16-quickgelu",
            pretrained="metaclip_fullcc",
            image_size=None,
            positions="scale_factor",
            trainable="none",
        ),
        proposer=dict(type="FolderProposer", folder=None),
        vfm=dict(
            model="vit_base_patch8_224.dino",
            pretrained="vit_base_patch8_224.dino",
            features="query_key",
            positions="scale_factor",
        ),
        spatial=5,
        spatial_weight=1.0,
        semantic_weight=0.5,
        sharpness=4.0,
        eps=0.2,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead", ensemble=True),
    decoder=dict(type="UpsampleDecoder", scale=40.0),
    post_processor=dict(
        type="RegionMode", proposer=dict(type="FolderProposer", folder=None), priority="largest"
    ),
    prompts=dict(templates="imagenet_80", synonyms="max"),
    inference=dict(
        mode="slide",
        size=336,
        keep_ratio=True,
        longest=2048,
        window=336,
        stride=112,
        global_view=False,
        activation="softmax",
        merge="logits",
    ),
)
