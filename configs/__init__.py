"""Configs, installed as package data; a name such as ``cat_seg_mini`` is a file in this folder."""
