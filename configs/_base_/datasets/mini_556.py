# The mini world with its 556 categories: generated from a seed, without files.
# Training shows only the seen categories.
_base_ = ["mini_150.py"]
train_dataloader = dict(dataset=dict(vocabulary="mini_556"))
val_dataloader = dict(dataset=dict(vocabulary="mini_556"))
test_dataloader = val_dataloader
