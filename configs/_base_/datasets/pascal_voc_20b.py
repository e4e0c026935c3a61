# PASCAL VOC 2012, 20 classes and background: 1,449 validation pictures. A model is asked 59 words,
# the 20 and the 39 other names of Context-59; those 39 count as background, the last of 21 classes.
# Folder: as `ovss prepare pascal_voc_20b` leaves it; OVSS_DATA moves data/.
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
