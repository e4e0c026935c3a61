"""DCP-CLIP's tag validation behind SED, at mini scale.

Train: ovss train sed_tags_mini --work-dir work_dirs/sed_tags_mini
Test:  ovss test sed_tags_mini work_dirs/sed_tags_mini/weights.safetensors
Weights: sed_mini's are the same.
"""

_base_ = ["../sed/sed_mini.py"]
custom_imports = dict(imports=["ovss_plugins.sed", "ovss_plugins.dcp_clip"])
_tags = dict(type="TagValidation", seen="mini_556_seen", k=5)
model = dict(post_processor=dict(_delete_=True, **_tags))
