# PASCAL Context, 59 classes: the 5,104 validation pictures.
# Folder: as `ovss prepare pascal_context_59` leaves it; OVSS_DATA moves data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/pascal_context_59"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="pascal_context_59",
    )
)
