"""CAT-Seg at mini scale on street scenes: CamVid, trained on eight classes, tested on eleven.

An end-to-end check with real images, label maps and ignored pixels. The mini CLIP was trained on
synthetic shapes only, so its whole image tower is trained here and unknown categories stay unknown.
Folder: images/{train,val} and labels/{train,val}; raw value 11 means "not labelled".

Train: CAMVID_ROOT=FOLDER ovss train cat_seg_mini_camvid
mIoU:  on the 101 validation frames, seen / unseen / harmonic mean: 43.6 / 4.4 / 8.1.
Hours: 0.3 on one CPU core (600 steps of 4 crops).
"""

_base_ = ["./cat_seg_mini.py"]
_root = "{{$CAMVID_ROOT:data/camvid11}}"
_words = dict(
    type="ImageMaskDataset",
    vocabulary=[
        "sky",
        "building",
        "pole",
        "road",
        "sidewalk",
        "tree",
        "traffic sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ],
    seen=["sky", "building", "pole", "road", "tree", "traffic sign", "car", "pedestrian"],
    ignored=(11,),
)
weights = None
protocol = "mini_camvid"
model = dict(
    encoder=dict(image_size=192, trainable="full", trainable_text="none"),
    inference=dict(mode="slide", size=(240, 320), window=192, stride=128, global_view=True),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.1))))
train_cfg = dict(max_iters=600, val_interval=200)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        _delete_=True,
        images=_root + "/images/train",
        masks=_root + "/labels/train",
        only_seen=True,  # ignores pixels of the other three classes
        pipeline=[
            dict(type="ShortestEdge", size=240, max_size=400),
            dict(type="RandomCrop", crop_size=(192, 192)),
            dict(type="PhotoMetricDistortion"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackSample"),
        ],
        **_words,
    ),
)
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _delete_=True,
        images=_root + "/images/val",
        masks=_root + "/labels/val",
        pipeline=[dict(type="PackSample")],
        **_words,
    ),
)
test_dataloader = val_dataloader
