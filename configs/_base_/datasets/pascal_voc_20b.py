# PASCAL VOC 2012, 20 classes and background: the 1,449 validation images. Models segment 59 names:
# the 20 classes, and 39 other names of Context-59 that count as background, the last of 21 classes.
# Folder: prepared by `ovss prepare pascal_voc_20b`; OVSS_DATA replaces data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/pascal_voc_20b"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary=[
            "aeroplane",
            "bicycle",
            "bird",
            "boat",
            "bottle",
            "bus",
            "car",
            "cat",
            "chair",
            "cow",
            "diningtable",
            "dog",
            "horse",
            "motorbike",
            "person",
            "pottedplant",
            "sheep",
            "sofa",
            "train",
            "tvmonitor",
            "background",
        ],
        words="pascal_voc_20b",
    )
)
