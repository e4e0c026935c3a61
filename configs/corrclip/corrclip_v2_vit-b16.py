"""Training-free: CorrCLIP v2, with C-RADIOv3 and embeddings of similar regions of other images.

Paper:  CorrCLIP: Reconstructing Patch Correlations in CLIP, its journal extension; code of
        zdk258/CorrCLIP, folder CorrCLIPv2. The ICCV paper is arXiv 2411.10086.
Needs:  masks of each image in a folder (the authors take EntitySeg's, painted by ascending score),
        an index of regions of unlabelled images, and the weights of MetaCLIP, DFN and C-RADIOv3.
Index:  ovss region-index corrclip_v2_vit-b16 --images DIR --out INDEX --cfg-options
        model.encoder.encoder.proposer.folder=MASKS
Run:    ovss segment photo.jpg --words "cat, grass" --model corrclip_v2_vit-b16 --cfg-options
        model.encoder.index=INDEX model.encoder.encoder.proposer.folder=MASKS
        model.post_processor.proposer.folder=MASKS
mIoU:   published, with an index of COCO: VOC (20) 93.6, Context-59 56.3, COCO-Stuff 38.5,
        Cityscapes 58.7, ADE20K 33.2, A-847 11.7, PC-459 16.8. Not run here.
Weights: none to train.
"""

_base_ = ["corrclip_vit-b16.py"]
protocol = "corrclip_v2"
_metaclip = dict(
    type="OpenCLIPEncoder",
    model="ViT-B-16-quickgelu",
    pretrained="metaclip_fullcc",
    image_size=None,
    positions="scale_factor",
    trainable="none",
)
_dfn = dict(
    type="OpenCLIPEncoder",
    model="ViT-B-16-quickgelu",
    pretrained="dfn2b",
    image_size=None,
    positions="scale_factor",
    trainable="none",
)
_radio = dict(
    model="vit_large_patch16_radio_v3.c_radio",
    pretrained="vit_large_patch16_radio_v3.c_radio",
    features="tokens",
    positions="square",
    native=2048,
)
model = dict(
    encoder=dict(
        _delete_=True,
        type="RetrievalCorrCLIPEncoder",
        encoder=dict(
            type="CorrCLIPEncoder",
            clip=_metaclip,
            proposer=dict(type="FolderProposer", folder=None),
            vfm=_radio,
            whole=True,
            finer=2,
            spatial=5,
            spatial_weight=1.0,
            semantic_weight=0.5,
            sharpness=4.0,
            eps=0.2,
            painting="order",
        ),
        index=None,
        search="exact",
        neighbours=20,
        share=0.5,
        auxiliary=[dict(clip=_dfn, spatial=5)],
    ),
    head=dict(_delete_=True, type="DotProductHead", joint_dim=1024),
)
