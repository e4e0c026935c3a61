"""Planted bugs in what only a device other than the CPU runs, and in the stand-in for it."""

CHUNKS = ("tests/layers/test_chunks.py",)

BUGS = [
    dict(
        name="all pairs of a batch are guided by its first image",
        file="ovss/layers/chunks.py",
        old="yield PairGroup(rows, selection.image_N[rows])",
        new="yield PairGroup(rows, selection.image_N[rows] * 0)",
        tests=CHUNKS,
    ),
    dict(
        name="the last pairs of a batch are left out",
        file="ovss/kernels/portions.py",
        old="for first in range(start, total, size):",
        new="for first in range(start, total - size + 1, size):",
        tests=CHUNKS,
    ),
    dict(
        name="a batch of volumes takes the appearance of the whole batch's first images",
        file="plugins/cat_seg/spatial.py",
        old="own = offset if image_N is None else offset[image_N]",
        new="own = offset if image_N is None else offset[image_N * 0]",
        tests=CHUNKS,
    ),
    dict(
        name="class attention of a batch mixes up images and categories",
        file="plugins/cat_seg/classes.py",
        old="x_Khwc = x_Khwc.unflatten(0, (images, -1)).transpose(0, 1).flatten(1, 2)",
        new="x_Khwc = x_Khwc.unflatten(0, (-1, images)).flatten(1, 2)",
        tests=CHUNKS,
    ),
    dict(
        name="padding of a bucket is valid",
        file="ovss/selection.py",
        old="valid_BK=F.pad(self.valid_BK, (0, missing), value=False)",
        new="valid_BK=F.pad(self.valid_BK, (0, missing), value=True)",
        tests=("tests/selectors/test_bucketed.py",),
    ),
    dict(
        name="a union takes the number of categories of one image",
        file="ovss/selection.py",
        old="*counts_B, total = _numbers(keep_BT.sum(1), keep_BT.any(0).sum())",
        new="*counts_B, total = _numbers(keep_BT.sum(1), keep_BT[0].sum())",
        tests=("tests/test_segmentor.py", "tests/test_selection.py"),
    ),
    dict(
        name="a copy to the host counts as an upload",
        file="ovss/testing/stand_in.py",
        old='_note("wait", "a tensor is copied to the host")\n    elif name == "aten::copy_":',
        new='_note("upload", "a tensor is copied to the host")\n    elif name == "aten::copy_":',
        tests=("tests/testing/test_stand_in.py",),
    ),
    dict(
        name="a device counts ignored pixels as predicted",
        file="ovss/evaluation/iou.py",
        old="values_3N.masked_fill_(ignored_N, count)",
        new="values_3N[2].masked_fill_(ignored_N, count)",
        tests=("tests/evaluation/test_iou_oracle.py",),
    ),
]
