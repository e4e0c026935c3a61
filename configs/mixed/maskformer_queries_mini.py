"""MaskFormer with MasQCLIP's region tokens as second source: trained queries in every CLIP block.

MasQCLIP (ICCV 2023) in place of the mean of dense tokens in maskformer_mini; not trained here.
Train: ovss train maskformer_queries_mini --work-dir work_dirs/maskformer_queries_mini"""

_base_ = ["../regions/maskformer_mini.py"]
_tokens = dict(type="QueryTokens", width=192, depth=6, image_size=96)
weights = None
model = dict(encoder=dict(embedders=[_tokens], embed_in_training=True), head=dict(trained=2))
