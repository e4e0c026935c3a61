"""Training-free: one backbone, C-RADIO, whose features correlate with themselves.

Paper: RADSeg: Unleashing Parameter and Compute Efficient Zero-Shot Open-Vocabulary Segmentation
       Using Agglomerative Models, arXiv 2511.19704.
Run:   ovss segment photo.jpg --words "cat, grass" --model radseg_vit-b16
Needs: C-RADIOv3-B, which timm downloads, SigLIP 2's text tower, which open_clip downloads (its
       tokenizer needs the extra `tokenizers`), and RADIO's language adaptor as a file in
       encoder.adaptor.pretrained, in the names of this plugin; see its README.
mIoU:  not run here.
"""

protocol = "radseg"
custom_imports = dict(imports=["ovss_plugins.radseg"])
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="RADSegEncoder",
        backbone=dict(
            model="vit_base_patch16_radio_v3.c_radio",
            pretrained="vit_base_patch16_radio_v3.c_radio",
            positions="bicubic",
        ),
        text="ViT-gopt-16-SigLIP2-384",
        pretrained="webli",
        adaptor=dict(hidden=2048, blocks=0, pretrained="radio_siglip2_adaptor.safetensors"),
        recursive=10.0,
        aggregate=10.0,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead", ensemble=True),
    decoder=dict(type="UpsampleDecoder", scale=100.0),
    post_processor=dict(type="Denoise", threshold=0.5),
    prompts=dict(templates="imagenet_80", synonyms="max"),
    inference=dict(
        mode="slide",
        size=336,
        keep_ratio=True,
        longest=2048,
        window=224,
        stride=112,
        global_view=False,
        activation="softmax",
        merge="features",
    ),
)
