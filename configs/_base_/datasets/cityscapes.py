# Cityscapes, 19 classes: the 500 validation images (fine annotations).
# Folder: prepared by `ovss prepare cityscapes`; OVSS_DATA replaces data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/cityscapes"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="cityscapes",
    )
)
