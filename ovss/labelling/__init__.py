"""Labelling of many images: a stored list, shards of fixed content, and engines that fill them.

`ovss label` runs it. A shard is a range of the list. Its rows are computed by one worker and
written by one rename, so that a run can be killed at any moment and continued.
"""
