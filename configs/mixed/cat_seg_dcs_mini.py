"""DCP-CLIP's category selection before CAT-Seg, at mini scale.

Test:  ovss test cat_seg_dcs_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: FIGURE.
Weights: cat_seg_mini's, as they come along; not trained for this mix.
"""

_base_ = ["../cat_seg/cat_seg_mini.py"]
custom_imports = dict(imports=["ovss_plugins.cat_seg", "ovss_plugins.dcp_clip"])
_selector = dict(type="DynamicCategorySelector", threshold=0.5, temperature=43.4)
model = dict(selector=dict(_delete_=True, **_selector))
