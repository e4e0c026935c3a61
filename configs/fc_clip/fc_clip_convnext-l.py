"""FC-CLIP ConvNeXt-L, 250 queries; for commands and recipe see fc_clip_convnext-b.
Weights: the authors' checkpoint fcclip_cocopan.pth (ConvNeXt-L), converted:
        ovss convert fc_clip fcclip_cocopan.pth fc_clip_convnext-l.safetensors
Published mIoU: A-847 14.8, PC-459 18.2, A-150 34.1, PC-59 58.4, PAS-21 81.8, PAS-20 95.4 with
synonyms of the authors for every category. Not run here, because neither the weights nor these
datasets were available. 372,494,210 parameters, 20,721,601 of them trained."""

_base_ = ["./fc_clip_convnext-b.py"]
_clip = dict(model="convnext_large_d_320", pretrained="laion2b_s29b_b131k_ft_soup")
_proposer = dict(level_dims=(192, 384, 768, 1536), joint_dim=768, queries=250)
model = dict(encoder=dict(encoder=_clip, proposer=_proposer), head=dict(joint_dim=768))
