"""Training-free: ProxyCLIP's windows are spliced and averaged with SAM's attention over the image.

Paper: Harnessing Vision Foundation Models for High-Performance, Training-Free Open Vocabulary
       Segmentation (Trident), ICCV 2025, arXiv 2411.09219.
Run:   ovss segment photo.jpg --words "cat, grass" --model trident_vit-b16
Needs: OpenAI's ViT-B/16, DINO's ViT-B/16 and SAM's ViT-B weights, which open_clip and timm
       download, or files in encoder.proxy.clip.pretrained, encoder.proxy.vfm.pretrained and
       encoder.sam.pretrained.
mIoU:  published, with the refinement by SAM's decoder that this config does not have: PASCAL VOC
       (21) 67.1, VOC (20) 84.5, Context-60 38.6, Context-59 42.2, COCO-Object 41.1, COCO-Stuff
       28.3, Cityscapes 42.9, ADE20K 21.9. Not run here.
"""

_base_ = ["proxyclip_vit-b16_dino-b8.py"]
protocol = "trident"
custom_imports = dict(imports=["ovss_plugins.proxyclip"])
protocol = "trident"
model = dict(
    encoder=dict(
        _delete_=True,
        type="TridentEncoder",
        proxy=dict(
            clip=dict(
                type="OpenCLIPEncoder",
                model="ViT-B-16-quickgelu",
                pretrained="openai",
                positions="scale_factor",
            ),
            vfm=dict(
                model="vit_base_patch16_224.dino",
                pretrained="vit_base_patch16_224.dino",
                positions="scale_factor",
            ),
            proxy=dict(beta=1.2, gamma=3.0, mean="batch"),
            multiple=56,
        ),
        sam=dict(
            model="samvit_base_patch16.sa1b", pretrained="samvit_base_patch16.sa1b", size=1024
        ),
        cos_factor=1.2,
        keep_negative=True,
    ),
    inference=dict(size=448, stride=224, merge="features"),
)
