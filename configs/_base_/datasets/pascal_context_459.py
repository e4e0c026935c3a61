# PASCAL Context, 459 classes: the 5,104 validation images. Labels have 16 bits because 255 is a
# class. The class "unknown" counts as any other.
# Folder: prepared by `ovss prepare pascal_context_459`; OVSS_DATA replaces data/.
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
