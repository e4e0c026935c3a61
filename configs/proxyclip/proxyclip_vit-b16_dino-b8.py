"""Training-free: DINO's features decide which cells of CLIP's last block attend to each other.

Paper: ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation, ECCV 2024,
       arXiv 2408.04883.
Run:   ovss segment photo.jpg --words "cat, grass" --model proxyclip_vit-b16_dino-b8
Needs: OpenAI's ViT-B/16 and DINO's ViT-B/8 weights, which open_clip and timm download, or files in
       encoder.clip.pretrained and encoder.vfm.pretrained.
mIoU:  published: PASCAL VOC (21) 61.3, VOC (20) 80.3, Context-60 35.3, Context-59 39.1, COCO-Object
       37.5, COCO-Stuff 26.5, Cityscapes 38.1, ADE20K 20.2. Not run here.
"""

protocol = "proxyclip"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="ProxyEncoder",
        clip=dict(
            type="OpenCLIPEncoder",
            model="ViT-B-16-quickgelu",
            pretrained="openai",
            positions="scale_factor",
        ),
        vfm=dict(
            model="vit_base_patch8_224.dino",
            pretrained="vit_base_patch8_224.dino",
            positions="scale_factor",
        ),
        proxy=dict(beta=1.2, gamma=3.0),
        multiple=56,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead", ensemble=True),
    decoder=dict(type="UpsampleDecoder", scale=40.0),
    post_processor=dict(type="Identity"),
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
