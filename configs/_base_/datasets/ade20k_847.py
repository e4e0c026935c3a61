# ADE20K full, 847 classes: the 2,000 validation pictures, their short side 512 at most. 16-bit
# labels: 255 is a class.
# Folder: as `ovss prepare ade20k_847` leaves it; OVSS_DATA moves data/.
_base_ = ["ade20k_150.py"]
_root = "{{$OVSS_DATA:data}}/ade20k_847"
test_dataloader = dict(
    dataset=dict(
        images=_root + "/images/val",
        masks=_root + "/masks/val",
        vocabulary="ade20k_847",
        ignored=(65535,),
        mask_suffix=".tif",
    )
)
