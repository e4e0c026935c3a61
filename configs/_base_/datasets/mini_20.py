# The mini world with its 20 categories: generated from a seed, without files.
# Training shows only the seen categories.
_base_ = ["mini_150.py"]
train_dataloader = dict(dataset=dict(vocabulary="mini_20"))
val_dataloader = dict(dataset=dict(vocabulary="mini_20"))
test_dataloader = val_dataloader
