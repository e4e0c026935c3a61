# ADE20K, 150 classes (SceneParse150): the 2,000 validation images. For testing, not for training.
# Folder: prepared by `ovss prepare ade20k_150`; OVSS_DATA replaces data/.
# The configs of other test datasets inherit from this file. The protocol sets the image size.
_root = "{{$OVSS_DATA:data}}/ade20k_150"
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        type="ImageMaskDataset",
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="ade20k_150",
        ignored=(255,),
        pipeline=[dict(type="PackSample")],
    ),
)
test_evaluator = dict(type="OpenVocabIoU", seen="coco_stuff_171")
