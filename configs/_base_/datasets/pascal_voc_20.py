# PASCAL VOC 2012, 20 classes without background: the 1,449 validation images.
# Folder: prepared by `ovss prepare pascal_voc_20`; OVSS_DATA replaces data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/pascal_voc_20"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="pascal_voc_20",
    )
)
