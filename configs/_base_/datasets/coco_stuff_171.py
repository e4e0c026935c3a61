# COCO-Stuff 164k, 171 classes: trains on crops of 384, 4 images per step; tests on the 5,000 images
# of val2017. The protocol sets the size of test images.
# Folder: prepared by `ovss prepare coco_stuff_171`; OVSS_DATA replaces data/.
_root = "{{$OVSS_DATA:data}}/coco_stuff_171"
_coco = dict(type="ImageMaskDataset", vocabulary="coco_stuff_171", ignored=(255,))
train_dataloader = dict(
    batch_size=4,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="EndlessSampler"),
    dataset=dict(
        images=_root + "/images/train",
        masks=_root + "/masks/train",
        pipeline=[
            dict(type="ShortestEdge", size=384, max_size=1333),
            dict(type="RandomCrop", crop_size=(384, 384)),
            dict(type="ColorAugSSD"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="Pad", size=(384, 384), pad_val=dict(img=128, seg=-1)),
            dict(type="PackSample"),
        ],
        **_coco,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        pipeline=[dict(type="PackSample")],
        **_coco,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="OpenVocabIoU")
test_evaluator = val_evaluator
