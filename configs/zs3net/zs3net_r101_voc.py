"""ZS3Net ResNet-101 on PASCAL VOC, for evaluation: DeepLab v3+ with a closed classifier.

Paper:  Zero-Shot Semantic Segmentation, NeurIPS 2019, arXiv 1906.00817.
Weights: the authors' checkpoint, converted:
        ovss convert zs3net deeplab_pascal_voc_02_unseen_GMMN_final.pth.tar zs3net.safetensors
Run:    ovss segment photo.jpg --words "background, cat, dog" --model zs3net_r101_voc --weights F
        Only the 21 classes of PASCAL VOC can be named, see plugins/zs3net/README.md.
Test:   ovss test zs3net_r101_voc F      (PASCAL VOC in data/pascal_voc_20b)
mIoU:   table I of DCP-CLIP quotes PC-59 19.4 and PAS-20 38.3, from later papers. Not measured here
        because neither these weights nor these datasets were available.
Recipe: not built. A generator makes features of unseen classes from word vectors, and needs to know
        these classes and images that show them.
Size:   59,234,773 parameters, none of which trains.
"""

_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/pascal_voc_20b.py"]
_classes = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
custom_imports = dict(imports=["ovss_plugins.zs3net", "ovss_plugins.spnet"])
protocol = "spnet"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="ClosedDeepLabEncoder",
        classes=("background", *_classes),
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="DotProductHead", joint_dim=257, lengths=True),
    decoder=dict(type="ScaleMaxDecoder", cost_dim=1, stride=4, align_corners=True),
    post_processor=dict(type="Identity"),
    criterion=dict(type="cross_entropy"),
    prompts=dict(templates=("{}",), synonyms="first"),
    inference=dict(mode="whole", size=513, activation="softmax"),
)
test_dataloader = dict(
    dataset=dict(vocabulary=(*_classes, "background"), words=None),
)
