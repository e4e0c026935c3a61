# COCO-Object, background and the 80 things: the 5,000 images of val2017.
# CLIP does not recognise "background", so models segment 25 names for the surroundings of things,
# which count as background, as in training-free evaluations. The choice of names affects the
# results, so they are part of the protocol. Protocols of training-free methods replace them by the
# names of the methods' codes, and add a threshold.
# Folder: prepared by `ovss prepare coco_object`; OVSS_DATA replaces data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/coco_object"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="coco_object",
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
