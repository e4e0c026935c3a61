# PASCAL VOC 2012, background and the 20 classes (VOC21): the 1,449 validation images.
# CLIP does not recognise "background", so models segment 26 names for the surroundings of the
# classes, which count as background. Protocols of training-free methods replace them by the names
# of the methods' codes, and add a threshold.
# Folder: prepared by `ovss prepare pascal_voc_21`; OVSS_DATA replaces data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/pascal_voc_21"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="pascal_voc_21",
        words=dict(
            background=[
                "sky",
                "wall",
                "tree",
                "wood",
                "grass",
                "road",
                "sea",
                "river",
                "mountain",
                "sands",
                "desk",
                "bed",
                "building",
                "cloud",
                "lamp",
                "door",
                "window",
                "wardrobe",
                "ceiling",
                "shelf",
                "curtain",
                "stair",
                "floor",
                "hill",
                "rail",
                "fence",
            ]
        ),
    )
)
