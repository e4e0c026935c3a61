"""PCA-Seg on EVA-02 CLIP B/16 with the weights of DeCLIP; for paper and method see pca_seg_vit-b16.

Weights: the authors' checkpoint, converted:
        ovss convert pca_seg model_final.pth pca_seg_eva02-b16.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model pca_seg_eva02-b16 --weights F
Train:  ovss train pca_seg_eva02-b16 --cfg-options model.encoder.pretrained=DECLIP.pt
        (DeCLIP's self-distilled EVA-CLIP; the config itself names plain EVA-CLIP.)
mIoU:   published: see plugins/pca_seg/README.md. Not measured here.
Recipe: the authors' config: as CAT-Seg, but AdamW 5e-4 and 8 images per step; image queries and
        values, and all text projections x 0.01.
Hours:  not trained here.
Size:   157,110,902 parameters, 31,012,725 of them trained.
"""

_base_ = ["./pca_seg_vit-b16.py"]
model = dict(
    encoder=dict(
        _delete_=True,
        type="DeCLIPEncoder",
        model="EVA02-B-16",
        pretrained="merged2b_s8b_b131k",
        image_size=384,
        levels=(3, 7),
        mode="csa",
        trainable="attention",
    )
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
