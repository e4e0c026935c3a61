"""Training-free: CorrCLIP with MetaCLIP's ViT-H/14.

Paper:  CorrCLIP, ICCV 2025, arXiv 2411.10086.
Needs:  as corrclip_vit-b16.
Run:    ovss segment photo.jpg --words "cat, grass" --model corrclip_vit-h14
        --cfg-options model.encoder.proposer.folder=DIR model.post_processor.proposer.folder=DIR
mIoU:   not run here.
Weights: none to train.
"""

_base_ = ["corrclip_vit-b16.py"]
model = dict(encoder=dict(clip=dict(model="ViT-H-14-quickgelu"), spatial=28))
