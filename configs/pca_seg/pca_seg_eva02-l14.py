"""PCA-Seg on EVA-02 CLIP L/14 at 336 px with the weights of DeCLIP; see pca_seg_eva02-b16.

Run:    ovss segment photo.jpg --words "cat, grass" --model pca_seg_eva02-l14 --weights F
Train:  ovss train pca_seg_eva02-l14 --cfg-options model.encoder.pretrained=DECLIP.pt
mIoU:   published: A-847 18.3, PC-459 26.7, A-150 41.5, PC-59 64.7, PAS-20 98.4 (from a results
        page, with DeCLIP's weights: not comparable with rows on OpenAI's CLIP). Not run here.
Recipe: as pca_seg_eva02-b16, with AdamW 3e-4.
Size:   436,617,014 parameters, 80,099,189 of them trained.
"""

_base_ = ["./pca_seg_vit-b16.py"]
model = dict(
    encoder=dict(
        _delete_=True,
        type="DeCLIPEncoder",
        model="EVA02-L-14-336",
        pretrained="merged2b_s6b_b61k",
        image_size=336,
        levels=(7, 15),
        mode="csa",
        trainable="attention",
    ),
    decoder=dict(joint_dim=768, level_dims=(1024, 1024)),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
