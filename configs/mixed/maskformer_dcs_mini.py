"""DCP-CLIP's category selection before a method that compares regions, at mini scale.

Test:  ovss test maskformer_dcs_mini
Weights: bundled, those of maskformer_mini, which were not trained with this selector.
"""

_base_ = ["../regions/maskformer_mini.py"]
custom_imports = dict(imports=["ovss_plugins.dcp_clip"])
_selector = dict(type="DynamicCategorySelector", threshold=0.5, temperature=43.4)
model = dict(selector=dict(_delete_=True, **_selector))
