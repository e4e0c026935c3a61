# ADE20K full, 847 classes: the 2,000 validation images, with a short side of at most 512. Labels
# have 16 bits because 255 is a class.
# Folder: prepared by `ovss prepare ade20k_847`; OVSS_DATA replaces data/.
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
