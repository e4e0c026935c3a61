# COCO-Object, background and the 80 things: the 5,000 pictures of val2017.
# "background" is no word that CLIP knows: 25 words for what surrounds things are asked instead and
# count as background, as evaluations without training do. Which words moves the figure: they are
# part of the protocol. By threshold instead: test_dataloader.dataset.words=None, and a
# post_processor dict(type="Background", threshold=...).
# Folder: as `ovss prepare coco_object` leaves it; OVSS_DATA moves data/.
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
                "sand",
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
