"""DCP-CLIP's category selection before SED, whose early rejection reduces the categories further.

Test:  ovss test sed_dcs_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean:
       62.4 / 62.6 / 62.5; sed_mini on the same scenes 73.9 / 72.9 / 73.4.
Weights: bundled, those of sed_mini, which were not trained with this selector.
Train: ovss train sed_dcs_mini --work-dir work_dirs/sed_dcs_mini
"""

_base_ = ["../sed/sed_mini.py"]
custom_imports = dict(imports=["ovss_plugins.sed", "ovss_plugins.dcp_clip"])
_selector = dict(type="DynamicCategorySelector", threshold=0.5, temperature=43.4)
model = dict(selector=dict(_delete_=True, **_selector), decoder=dict(top_k=4))
