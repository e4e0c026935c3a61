"""SAM 3 with one pass of its detector for each category; training-free.

Paper:  SAM 3: Segment Anything with Concepts, arXiv 2511.16719; scores combined as in SegEarth-OV3,
        arXiv 2512.08730.
Needs:  the extra `sam3` (transformers 5) and a local folder with SAM 3's weights (config.json and
        safetensors), which its authors give out on request.
Run:    ovss segment photo.jpg --words "cat, grass" --model sam3 --cfg-options
        model.encoder.pretrained=DIR model.decoder.pretrained=DIR
mIoU:   published (SegEarth-OV3, as ConceptBank reproduced it): VOC (20) 96.8, Context-59 58.8,
        COCO-Stuff 42.8, Cityscapes 69.7, ADE20K 37.5. Not run here.
Weights: none to train.
Size:   840,376,374 parameters with the geometry encoder, which no word needs; 832,292,918 here.
"""

custom_imports = dict(imports=["ovss_plugins.sam3"])
protocol = "sam3"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(type="SAM3Encoder", architecture=None, pretrained=None, clip=None),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead", ensemble=True),
    decoder=dict(type="SAM3Decoder", architecture=None, pretrained=None, confidence=0.3, at_once=4),
    post_processor=dict(type="Identity"),
    prompts=dict(templates=("{}",), synonyms="max"),
    inference=dict(mode="whole", size=None, activation="sigmoid"),
)
