# COCO-Stuff 164k: crops of 384, 4 pictures a step. The layout that mmsegmentation documents:
# labels 0..170 in the order of the vocabulary, 255 none.
_coco = dict(
    type="ImageMaskDataset",
    vocabulary="coco_stuff_171",
    mask_suffix="_labelTrainIds.png",
    ignored=(255,),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="EndlessSampler"),
    dataset=dict(
        images="data/coco_stuff164k/images/train2017",
        masks="data/coco_stuff164k/annotations/train2017",
        pipeline=[
            dict(type="ShortestEdge", size=384, max_size=1333),
            dict(type="RandomCrop", crop_size=(384, 384)),
            dict(type="PhotoMetricDistortion"),
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
        images="data/coco_stuff164k/images/val2017",
        masks="data/coco_stuff164k/annotations/val2017",
        pipeline=[
            dict(type="ShortestEdge", size=640, max_size=2560, labels=False),
            dict(type="PackSample"),
        ],
        **_coco,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="OpenVocabIoU")
test_evaluator = val_evaluator
