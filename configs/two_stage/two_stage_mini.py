"""The two-stage line at mini scale: crops of the trained regions are shown to CLIP.

The regions are those of maskformer_mini. ZegFormer, ZSSeg and OVSeg embed each region by a pass of
CLIP over the masked crop in place of the mean of the dense tokens.

Test:  ovss test two_stage_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 72.2 / 56.1 / 63.1;
       maskformer_mini on the same scenes 77.2 / 75.1 / 76.2. Blanked crops are foreign to the mini
       CLIP, which is why OVSeg fine-tunes CLIP on them, and a scene costs 5 times as much.
Weights: bundled, those of maskformer_mini; the second stage has nothing to train.
"""

_base_ = ["../regions/maskformer_mini.py"]
custom_imports = dict(imports=["ovss_plugins.two_stage"])
model = dict(encoder=dict(embedders=[dict(type="CropEmbedder")]))
