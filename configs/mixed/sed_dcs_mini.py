"""DCP-CLIP's category selection before SED, whose early rejection then narrows what was kept.

Train: ovss train sed_dcs_mini --work-dir work_dirs/sed_dcs_mini
Test:  ovss test sed_dcs_mini work_dirs/sed_dcs_mini/weights.safetensors
Weights: sed_mini's fit, too, whose words in training another selector kept.
"""

_base_ = ["../sed/sed_mini.py"]
custom_imports = dict(imports=["ovss_plugins.sed", "ovss_plugins.dcp_clip"])
_selector = dict(type="DynamicCategorySelector", threshold=0.5, temperature=43.4)
model = dict(selector=dict(_delete_=True, **_selector), decoder=dict(top_k=4))
