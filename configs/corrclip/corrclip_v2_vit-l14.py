"""Training-free: CorrCLIP v2 with MetaCLIP's ViT-L/14.

Paper:  as corrclip_v2_vit-b16.
Needs:  as corrclip_v2_vit-b16.
Run:    ovss segment photo.jpg --words "cat, grass" --model corrclip_v2_vit-l14 --cfg-options
        model.encoder.index=INDEX model.encoder.encoder.proposer.folder=MASKS
        model.post_processor.proposer.folder=MASKS
mIoU:   published, with an index of COCO: VOC (20) 93.2, Context-59 56.8, COCO-Stuff 39.1,
        Cityscapes 59.2, ADE20K 36.5, A-847 14.9, PC-459 18.6. Not run here.
Weights: none to train.
"""

_base_ = ["corrclip_v2_vit-b16.py"]
model = dict(
    encoder=dict(encoder=dict(clip=dict(model="ViT-L-14-quickgelu"), spatial=12)),
    head=dict(joint_dim=1280),
)
