"""DCP-CLIP's tag validation after SED, at mini scale.

Test:  ovss test sed_tags_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean:
       73.9 / 72.9 / 73.4, equal to those without.
Weights: bundled, those of sed_mini without further training.
"""

_base_ = ["../sed/sed_mini.py"]
custom_imports = dict(imports=["ovss_plugins.sed", "ovss_plugins.dcp_clip"])
_tags = dict(type="TagValidation", seen="mini_556_seen", k=5)
model = dict(post_processor=dict(_delete_=True, **_tags))
