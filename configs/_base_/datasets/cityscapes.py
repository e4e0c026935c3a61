# Cityscapes, 19 classes: the 500 validation pictures (fine annotations).
# Folder: as `ovss prepare cityscapes` leaves it; OVSS_DATA moves data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/cityscapes"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="cityscapes",
    )
)
