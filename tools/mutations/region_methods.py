"""Bugs in the methods that compare regions, and in the blocks that they share."""

MASK2FORMER = ("tests/layers/test_mask2former.py",)
TOKENS = ("tests/layers/test_region_tokens.py",)
CROPS = ("tests/layers/test_crops.py",)

BUGS = [
    dict(
        name="queries attend outside of their masks",
        file="ovss/layers/mask_queries.py",
        old="inside_BQN = logits_BQN >= 0",
        new="inside_BQN = logits_BQN <= 0",
        tests=MASK2FORMER,
    ),
    dict(
        name="a query with an empty mask attends to nothing",
        file="ovss/layers/mask_queries.py",
        old="return (inside_BQN | ~inside_BQN.any(2, keepdim=True))[:, None]",
        new="return inside_BQN[:, None]",
        tests=MASK2FORMER,
    ),
    dict(
        name="cells of logit 0 are pooled",
        file="ovss/layers/hard_pool.py",
        old="inside_BQN = (mask_BQhw > 0)",
        new="inside_BQN = (mask_BQhw >= 0)",
        tests=(*MASK2FORMER, "tests/embedders/test_pooled.py"),
    ),
    dict(
        name="points outside of a map repeat its border",
        file="ovss/layers/deformable.py",
        old="found.append((index, share * inside))",
        new="found.append((index, share))",
        tests=MASK2FORMER,
    ),
    dict(
        name="positions have columns before rows",
        file="ovss/layers/sine_positions.py",
        old="return torch.cat([rows_Ahw, columns_Ahw])",
        new="return torch.cat([columns_Ahw, rows_Ahw])",
        tests=MASK2FORMER,
    ),
    dict(
        name="region tokens of SAN see the class token",
        file="plugins/san/encoder.py",
        old="sees_class=False, sees_itself=True",
        new="sees_class=True, sees_itself=True",
        tests=("tests/parity/test_san_plain.py",),
    ),
    dict(
        name="biases of SAN are averaged in a cell",
        file="plugins/san/encoder.py",
        old="F.adaptive_max_pool2d(maps_BMhw, cells)",
        new="F.adaptive_avg_pool2d(maps_BMhw, cells)",
        tests=("tests/parity/test_san_plain.py",),
    ),
    dict(
        name="crops shift by half a line",
        file="ovss/layers/crops.py",
        old="place_NS = line_S * (length_N1.to(dtype) / size) - 0.5",
        new="place_NS = line_S * (length_N1.to(dtype) / size)",
        tests=CROPS,
    ),
    dict(
        name="crops leave out the last line",
        file="ovss/layers/crops.py",
        old="length_N1 = (last_N - first_N + 1)[:, None]",
        new="length_N1 = (last_N - first_N).clamp(min=1)[:, None]",
        tests=CROPS,
    ),
    dict(
        name="SCAN replaces patches inside the region",
        file="plugins/scan/regions.py",
        old="rank_NP = order_NP.masked_fill(inside_NP, torch.inf)",
        new="rank_NP = order_NP.masked_fill(~inside_NP, torch.inf)",
        tests=("tests/plugins/scan/test_scan_encoder.py",),
    ),
    dict(
        name="every method may read the labels",
        file="ovss/proposers/current.py",
        old='if reads_labels and "gt_sem_seg" in sample',
        new='if "gt_sem_seg" in sample',
        tests=("tests/proposers/test_oracle.py",),
    ),
    dict(
        name="padding takes part in pooled tokens",
        file="ovss/embedders/dense.py",
        old="dense_BChw = crop_padding(features.dense_BChw, features.padding)",
        new="dense_BChw = features.dense_BChw",
        tests=("tests/embedders/test_dense.py",),
    ),
    dict(
        name="similarities of texts are compared with those of the wrong proposals",
        file="ovss/losses/similarity.py",
        old="embed_QC[query_N], unit_TC[category_N]",
        new="embed_QC[category_N], unit_TC[category_N]",
        tests=("tests/losses/test_similarity.py",),
    ),
    dict(
        name="coarse maps of MaskFormer are enlarged bilinearly",
        file="ovss/layers/maskformer.py",
        old="F.interpolate(x_BDhw, size=level_BDhw.shape[2:])",
        new='F.interpolate(x_BDhw, size=level_BDhw.shape[2:], mode="bilinear")',
        tests=("tests/proposers/test_maskformer_proposer.py",),
    ),
]
