"""Training-free: CorrCLIP with MetaCLIP's ViT-L/14.

Paper:  CorrCLIP, ICCV 2025, arXiv 2411.10086.
Needs:  as corrclip_vit-b16.
Run:    ovss segment photo.jpg --words "cat, grass" --model corrclip_vit-l14
        --cfg-options model.encoder.proposer.folder=DIR model.post_processor.proposer.folder=DIR
mIoU:   published for this size only with other masks and another model of features (see
        corrclip_v2_vit-l14). Not run here.
Weights: none to train.
"""

_base_ = ["corrclip_vit-b16.py"]
model = dict(encoder=dict(clip=dict(model="ViT-L-14-quickgelu"), spatial=12))
