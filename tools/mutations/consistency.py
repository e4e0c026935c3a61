"""Planted bugs in checks that values agree with one another, and in large images."""

RESULT = ("tests/results/test_result_file.py",)
ROWS = ("tests/benchmark/test_table.py::test_a_row_that_cannot_have_been_measured_is_refused",)
LABELLING = ("tests/test_contenders.py",)
PIECES = ("tests/api/test_pieces.py",)
RANGES = ("tests/training/test_ranges.py",)

BUGS = [
    dict(
        name="one metric of a result is recomputed",
        file="ovss/results/figures.py",
        old="if not _agree(value, expected[name], tolerance):",
        new='if name == "mIoU" and not _agree(value, expected[name], tolerance):',
        tests=RESULT,
    ),
    dict(
        name="an undefined metric agrees with any value",
        file="ovss/results/figures.py",
        old="        return value is expected\n",
        new="        return True\n",
        tests=RESULT,
    ),
    dict(
        name="true is a number in a row",
        file="ovss/results/figures.py",
        old="kind in (int, float)",
        new="isinstance(value, (int, float))",
        tests=RESULT,
    ),
    dict(
        name="pixels without a prediction are not noticed",
        file="ovss/results/figures.py",
        old="if sums[0] != sums[1]:",
        new="if sums[0] < sums[1]:",
        tests=RESULT,
    ),
    dict(
        name="the hash of a protocol is not compared",
        file="ovss/results/result_checks.py",
        old="if protocol.full_hash != computed:",
        new="if not protocol.full_hash:",
        tests=RESULT,
    ),
    dict(
        name="the census of a result is not compared",
        file="ovss/results/result_checks.py",
        old="if result.data.census != census:",
        new="if not result.data.census:",
        tests=RESULT,
    ),
    dict(
        name="a result of a part looks like a whole one",
        file="ovss/results/result_checks.py",
        old='data.images > limit or not data.name.endswith(f" (limit {limit})")',
        new="data.images > limit",
        tests=RESULT,
    ),
    dict(
        name="true is a format of results",
        file="ovss/results/result_file.py",
        old="if isinstance(schema, bool) or schema not in",
        new="if schema not in",
        tests=RESULT,
    ),
    dict(
        name="a harmonic mean in a row is believed",
        file="ovss/benchmark/row_checks.py",
        old=' or abs(row["hIoU"] - expected) > _ROUNDING:',
        new=":",
        tests=ROWS,
    ),
    dict(
        name="a row may have more images than its job",
        file="ovss/benchmark/row_checks.py",
        old='if row["images"] > row["job"]["scenes"]:',
        new='if row["images"] < 0:',
        tests=ROWS,
    ),
    dict(
        name="the check value of a part is ignored",
        file="ovss/evaluation/parts.py",
        old='if content.pop("check", None) != content_hash(content):',
        new='if not content.pop("check", None):',
        tests=("tests/evaluation/test_resumable.py::test_a_changed_part_is_counted_again",),
    ),
    dict(
        name="counts of other classes are continued",
        file="ovss/evaluation/parts.py",
        old="        if shapes[0] != shapes[1]:\n",
        new="        if len(shapes[0]) != len(shapes[1]):\n",
        tests=("tests/evaluation/test_resumable.py::test_a_changed_part_is_counted_again",),
    ),
    dict(
        name="the highest corner of a category bounds the others",
        file="ovss/inference/contenders.py",
        old="low_khw = _corners(part_kHW, torch.minimum)",
        new="low_khw = _corners(part_kHW, torch.maximum)",
        tests=LABELLING,
    ),
    dict(
        name="a corner has to reach the highest floor around it",
        file="ovss/inference/contenders.py",
        old="need_HW = _corners(around_hw[None], torch.minimum)[0]",
        new="need_HW = _corners(around_hw[None], torch.maximum)[0]",
        tests=LABELLING,
    ),
    dict(
        name="padding excludes categories of an image",
        file="ovss/inference/contenders.py",
        old="low_khw = low_khw.masked_fill(~valid_k[:, None, None], -torch.inf)",
        new="pass",
        tests=LABELLING,
    ),
    dict(
        name="near ties are settled by the blocks",
        file="ovss/inference/contenders.py",
        old="    _settle_ties(probs_KHW, near_K, near_HW, slot_HW, best_HW)\n",
        new="",
        tests=LABELLING,
    ),
    dict(
        name="cells between two groups belong to one",
        file="ovss/inference/contenders.py",
        old="return torch.maximum(inner.amax(dim + 1), shared.index_select(dim, index))",
        new="return inner.amax(dim + 1)",
        tests=LABELLING,
    ),
    dict(
        name="the memory of a piece ignores the number of names",
        file="ovss/api/pieces.py",
        old="follows and names * height * width > NAMES_TIMES_PIXELS",
        new="follows and height * width > NAMES_TIMES_PIXELS",
        tests=PIECES,
    ),
    dict(
        name="pieces of a strip are longer across",
        file="ovss/api/pieces.py",
        old="if height < width else",
        new="if height > width else",
        tests=PIECES,
    ),
    dict(
        name="true is a number of a training",
        file="ovss/training/ranges.py",
        old="isinstance(value, Real) and not isinstance(value, bool)",
        new="isinstance(value, Real)",
        tests=RANGES,
    ),
    dict(
        name="a beta of one is allowed",
        file="ovss/training/ranges.py",
        old="0 <= beta < _BETA_LIMIT",
        new="0 <= beta <= _BETA_LIMIT",
        tests=RANGES,
    ),
    dict(
        name="a logit that overflows becomes a probability",
        file="ovss/segmentor.py",
        old="() if highest_N is None else (highest_N,)",
        new="()",
        tests=("tests/test_segmentor.py",),
    ),
]
