"""DCP-CLIP's category selection before a method that compares regions, at mini scale.

Test:  ovss test maskformer_dcs_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 77.1 / 73.9 / 75.4, with 7.6
       of 150 categories kept; maskformer_mini on the same scenes 77.2 / 75.1 / 76.2. Masks do not
       depend on the vocabulary here, so selection costs little, unlike before CAT-Seg and SED.
Weights: bundled, those of maskformer_mini, which were not trained with this selector.
"""

_base_ = ["../regions/maskformer_mini.py"]
custom_imports = dict(imports=["ovss_plugins.dcp_clip"])
model = dict(selector=dict(type="DynamicCategorySelector", threshold=0.5, temperature=43.4))
