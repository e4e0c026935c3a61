# The mini world over its 20 categories: drawn from a seed, no files.
# Training shows the seen ones only.
_base_ = ["mini_150.py"]
train_dataloader = dict(dataset=dict(vocabulary="mini_20"))
val_dataloader = dict(dataset=dict(vocabulary="mini_20"))
test_dataloader = val_dataloader
