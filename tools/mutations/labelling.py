"""Planted bugs in the labelling of many images."""

COMMAND = "tests/labelling/test_label_command.py::"
WORKERS = "tests/labelling/test_label_workers.py::"
EXPORT = "tests/labelling/test_label_export.py::"
RUNS = ("tests/labelling/test_run_length.py",)

BUGS = [
    dict(
        name="runs over several columns keep the rows of their ends",
        file="ovss/labelling/run_length.py",
        old="top_R = np.where(is_one_R, starts_R % height, 0)",
        new="top_R = starts_R % height",
        tests=RUNS,
    ),
    dict(
        name="run lengths are differences from the third number on",
        file="ovss/labelling/run_length.py",
        old="later_C = np.flatnonzero(rank_C > 2)",
        new="later_C = np.flatnonzero(rank_C > 1)",
        tests=RUNS,
    ),
    dict(
        name="run lengths that exceed the image are decoded",
        file="ovss/labelling/run_length.py",
        old="or values_C.sum() != size:",
        new="or values_C.sum() > size:",
        tests=RUNS,
    ),
    dict(
        name="deaths of other runs count",
        file="ovss/labelling/attempts.py",
        old="if name != run or not position:",
        new="if not position:",
        tests=(WORKERS + "test_deaths_count_from_the_second_attempt_of_one_run_on",),
    ),
    dict(
        name="the image at which an attempt with images read ahead ended is blamed",
        file="ovss/labelling/attempts.py",
        old="if was_careful:  # else",
        new="if True:  # else",
        tests=(WORKERS + "test_deaths_count_from_the_second_attempt_of_one_run_on",),
    ),
    dict(
        name="a damaged shard counts as finished",
        file="ovss/labelling/job.py",
        old="        if facts is None:\n            return False",
        new="        if facts is None:\n"
        "            return any(self.folder.glob(f'shards/*-{shard:06d}.*'))",
        tests=(COMMAND + "test_a_run_is_resumed_and_says_what_it_skips",),
    ),
    dict(
        name="a changed list of images is used all the same",
        file="ovss/labelling/job.py",
        old="if Path(file).exists() and file_token(Path(file)) != token:",
        new="if False:",
        tests=(COMMAND + "test_other_inputs_are_refused",),
    ),
    dict(
        name="rows of a parquet file begin at its first row",
        file="ovss/labelling/parquet_images.py",
        old="for value in batch.column(0).slice(max(skip - seen, 0)):",
        new="for value in batch.column(0):",
        tests=(COMMAND + "test_lists_and_parquet_files_give_the_same_masks",),
    ),
    dict(
        name="--retry-errors computes rows without errors again",
        file="ovss/labelling/worker.py",
        old='return {n: row for n, row in enumerate(rows) if row["status"] == OK}',
        new='return {n: row for n, row in enumerate(rows) if row["status"] != OK}',
        tests=(COMMAND + "test_bad_images_are_rows_and_can_be_computed_again",),
    ),
    dict(
        name="categories of a foreign shard are not checked",
        file="ovss/labelling/export.py",
        old='if not 0 <= segment["category"] < len(names):',
        new="if False:",
        tests=(EXPORT + "test_damaged_masks_and_unknown_categories_are_refused",),
    ),
]
