# PASCAL Context, 459 classes: the 5,104 validation pictures. 16-bit labels: 255 is a class; one is
# called "unknown" and counts as others do.
# Folder: as `ovss prepare pascal_context_459` leaves it; OVSS_DATA moves data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/pascal_context_459"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="pascal_context_459",
        ignored=(459, 65535),
        mask_suffix=".tif",
    )
)
