"""SPNet ResNet-101 on PASCAL VOC 15/5: pixels are projected into the space of word vectors.

Paper:  Semantic Projection Network for Zero- and Few-Label Semantic Segmentation, CVPR 2019.
Words:  no word vectors are bundled. Download fastText (300 dimensions) and word2vec (300) as text
        files and name both; --cfg-options model.encoder.vectors=[fasttext.vec,word2vec.txt]
Weights: the authors' checkpoint, converted:
        ovss convert spnet checkpoint_20000.pth.tar spnet_r101_voc.safetensors
Run:    ovss segment photo.jpg --words "cat, dog" --model spnet_r101_voc --weights F \
            --cfg-options model.encoder.vectors=[fasttext.vec,word2vec.txt]
Data:   ovss prepare pascal_voc_20 --splits val,trainaug
Train:  ovss train spnet_r101_voc with the same option
mIoU:   table I of DCP-CLIP quotes PC-59 24.3 and PAS-20 18.3, from later papers. Not measured here
        because neither weights nor datasets were available.
Recipe: the authors' code: SGD with momentum 0.9 and decay 5e-4; 2.5e-4, projection x 10, its biases
        x 20 without decay; batch norms frozen; polynomial schedule with power 0.9 over 20,000 steps
        of 10 images; crop 321 after a scale of 0.5 to 1.5, flip; losses of three scales and of
        their maximum; background and unseen categories have no labels.
        Differences: each loss is computed at the size of the labels, not on its own grid; the rate
        changes with every step, not with every tenth; the authors start from a DeepLab of their
        own, this config from ImageNet (torchvision, whose stride is elsewhere).
Hours:  training not run here.
Size:   86,634,016 parameters, all in convolutions that train.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.spnet"])
protocol = "spnet"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WordVectorEncoder",
        vectors=None,  # without files, vectors are drawn from the names and mean nothing
        dims=600,
        backbone=dict(
            type="ResNet",
            depth=101,
            output_stride=8,
            stride_first=True,
            pretrained="resnet101.tv_in1k",
        ),
        dilations=(6, 12, 18, 24),
        scales=(0.75, 0.5),
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="DotProductHead", joint_dim=600, levels=2),
    decoder=dict(type="ScaleMaxDecoder", cost_dim=3, stride=8),
    post_processor=dict(type="CalibratedStacking", gamma=0.6, seen="pascal_voc_15"),
    criterion=dict(type="cross_entropy"),
    prompts=dict(templates=("{}",), synonyms="first"),
    inference=dict(mode="whole", size=513, activation="softmax"),
)
_root = "{{$OVSS_DATA:data}}/pascal_voc_20"
train_dataloader = dict(
    batch_size=10,
    dataset=dict(
        vocabulary="pascal_voc_20",
        seen="pascal_voc_15",
        only_seen=True,
        images=_root + "/images/trainaug",
        masks=_root + "/masks/trainaug",
        pipeline=[
            dict(type="RandomScale", ratio=(0.5, 1.5)),
            dict(type="Pad", size=(321, 321), pad_val=dict(img=(123, 117, 104), seg=-1)),
            dict(type="RandomCrop", crop_size=(321, 321)),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackSample"),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        vocabulary="pascal_voc_20", images=_root + "/images/val", masks=_root + "/masks/val"
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(seen="pascal_voc_15")
test_evaluator = val_evaluator
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=2.5e-4, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            "encoder.project": dict(lr_mult=10.0),
            **{f"encoder.project.{i}.bias": dict(lr_mult=20.0, decay_mult=0.0) for i in range(4)},
        },
    ),
)
param_scheduler = [dict(type="PolyLR", by_epoch=False, begin=0, end=20000, power=0.9, eta_min=0.0)]
train_cfg = dict(max_iters=20000, val_interval=2000)
