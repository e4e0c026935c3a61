# PASCAL Context, background and the 59 classes: the 5,104 validation images. Background are all
# pixels of other classes. Models segment the name "background" itself; protocols of training-free
# methods add a threshold.
# Folder: prepared by `ovss prepare pascal_context_60`; OVSS_DATA replaces data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/pascal_context_60"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="pascal_context_60",
    )
)
