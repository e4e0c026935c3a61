"""SAM 3 behind a selector: CLIP names the categories that may be there, SAM 3 segments those.

SAM 3 needs a pass of its detector for each category of the vocabulary. Here CLIP's dense tokens
keep the 16 most similar ones, so that the passes no longer grow with the vocabulary. Nobody
published this combination.

Paper:  SAM 3, arXiv 2511.16719; SegEarth-OV3, arXiv 2512.08730; the selector is CAT-Seg's.
Needs:  as sam3, and OpenAI's ViT-B/16, which open_clip downloads.
Run:    ovss segment photo.jpg --words ade20k_150 --model sam3_selected --cfg-options
        model.encoder.pretrained=DIR model.decoder.pretrained=DIR
mIoU:   not run.
Weights: none to train.
"""

_base_ = ["sam3.py"]
protocol = "sam3_selected"
model = dict(
    encoder=dict(
        clip=dict(
            _delete_=True,
            type="OpenCLIPEncoder",
            model="ViT-B-16-quickgelu",
            pretrained="openai",
            image_size=336,
            dense=dict(type="naclip", std=5.0),
            trainable="none",
        )
    ),
    selector=dict(_delete_=True, type="ClipTopK", k=16),
    prompts=dict(templates="imagenet_80"),
)
