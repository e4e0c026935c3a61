# PASCAL Context, 59 classes: the 5,104 validation images.
# Folder: prepared by `ovss prepare pascal_context_59`; OVSS_DATA replaces data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/pascal_context_59"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="pascal_context_59",
    )
)
