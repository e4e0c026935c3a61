"""DCP-CLIP's category selection before CAT-Seg, at mini scale.

Test:  ovss test cat_seg_dcs_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean:
       69.1 / 70.3 / 69.7; cat_seg_mini on the same scenes 76.8 / 77.1 / 77.0.
Weights: bundled, those of cat_seg_mini, which were not trained with this selector.
Train: ovss train cat_seg_dcs_mini --work-dir work_dirs/cat_seg_dcs_mini
       Result after this training (2,500 steps, one seed, 0.3 hours): 75.8 / 74.9 / 75.3. Its
       weights are not bundled.
"""

_base_ = ["../cat_seg/cat_seg_mini.py"]
custom_imports = dict(imports=["ovss_plugins.cat_seg", "ovss_plugins.dcp_clip"])
_selector = dict(type="DynamicCategorySelector", threshold=0.5, temperature=43.4)
model = dict(selector=dict(_delete_=True, **_selector))
