"""The configs, installed as data: a name such as ``cat_seg_mini`` is looked up in this folder."""
