"""Training-free: the dense tokens of CAT-Seg compared with class names, on mini_web.

The trained methods on mini_web start from the same tokens, so this is what they add to.
Paper: CAT-Seg, CVPR 2024, arXiv 2303.11797, for the tokens only.
Run:   ovss test cat_seg_tokens_mini_web
"""

_base_ = ["maskclip_mini_web.py"]
model = dict(encoder=dict(dense="cat_seg"))
