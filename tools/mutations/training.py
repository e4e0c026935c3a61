"""Planted bugs in training."""

TRAINING = ("tests/training/test_training.py",)
RESUME = ("tests/training/test_resume.py",)
TRACKING = ("tests/training/test_tracking.py",)
ORACLE = ("tests/training/test_training_oracle.py",)

BUGS = [
    dict(
        name="a resumed training starts its schedule again",
        file="ovss/training/schedule.py",
        old="for _ in range(runner.iter):",
        new="for _ in range(0):",
        tests=RESUME,
    ),
    dict(
        name="a resumed training forgets its schedule",
        file="ovss/training/runner.py",
        old="keep = resume_param_scheduler and not follows",
        new="keep = False",
        tests=("tests/training/test_training.py::test_a_killed_run_resumes_to_the_same_curve",),
    ),
    dict(
        name="a resumed training forgets its optimiser",
        file="ovss/training/runner.py",
        old="super().resume(filename, resume_optimizer, keep, map_location)",
        new="super().resume(filename, False, keep, map_location)",
        tests=("tests/training/test_training.py::test_a_killed_run_resumes_to_the_same_curve",),
    ),
    dict(
        name="a tracker never gets the rows that a killed run kept back",
        file="ovss/training/tracking/hook.py",
        old="feed.waiting = [row for row in rows if not feed.sent.holds(row)]",
        new="feed.waiting = []",
        tests=TRACKING,
    ),
    dict(
        name="TensorBoard keeps the points after the checkpoint",
        file="ovss/training/tracking/tensorboard.py",
        old="last + 1 if last else 0",
        new="1 << 40",
        tests=TRACKING,
    ),
    dict(
        name="every rank writes curves to trackers",
        file="ovss/training/tracking/start.py",
        old="if distributed.rank() == 0:",
        new="if True:",
        tests=TRACKING,
    ),
    dict(
        name="trackers get undefined metrics",
        file="ovss/training/tracking/tracker.py",
        old="if math.isfinite(value)}",
        new="}",
        tests=TRACKING,
    ),
    dict(
        name="an outage of a tracker loses its rows",
        file="ovss/training/tracking/feeds.py",
        old="self.tracker.write(self.waiting)\n",
        new="waiting, self.waiting = self.waiting, []\n        self.tracker.write(waiting)\n",
        tests=TRACKING,
    ),
    dict(
        name="a loader without workers keeps their options",
        file="ovss/training/loaders.py",
        old='if loader.get("num_workers"):',
        new="if True:",
        tests=("tests/training/test_loaders.py",),
    ),
    dict(
        name="a loader with workers loses their options",
        file="ovss/training/loaders.py",
        old="return dict(loader)\n",
        new="pass\n",
        tests=("tests/training/test_loaders.py",),
    ),
    dict(
        name="other settings are resumed",
        file="ovss/training/resume.py",
        old="    if refused:\n        raise _mismatch(path, refused)\n",
        new="",
        tests=RESUME,
    ),
    dict(
        name="gradients are not clipped",
        file="ovss/training/precision.py",
        old="super().__init__(optimizer, **options)",
        new='super().__init__(optimizer, **{**options, "clip_grad": None})',
        tests=ORACLE,
    ),
    dict(
        name="scaled gradients are clipped before they are unscaled",
        file="ovss/training/precision.py",
        old="            self.scaler.unscale_(self.optimizer)\n",
        new="",
        tests=(
            "tests/training/test_precision.py::test_gradients_that_overflow_leave_the_step_out_and_halve_the_scale",
        ),
    ),
    dict(
        name="the last micro-batch weighs as much as the step",
        file="ovss/training/loop.py",
        old="optim_wrapper.update_params(loss / len(parts))",
        new="optim_wrapper.update_params(loss)",
        tests=ORACLE,
    ),
    dict(
        name="a step uses its last micro-batch only",
        file="ovss/training/loop.py",
        old="            optim_wrapper.accumulate(loss / len(parts))\n",
        new="            pass\n",
        tests=ORACLE,
    ),
    dict(
        name="a loss that is not finite is trained on",
        file="ovss/training/precision.py",
        old='if loss != loss or loss in (float("inf"), -float("inf")):',
        new='if loss == float("inf"):',
        tests=(
            "tests/training/test_training.py::test_a_loss_that_is_not_finite_stops_and_names_the_image",
        ),
    ),
    dict(
        name="frozen parameters are trained",
        file="ovss/training/optim.py",
        old="for n, p in model.named_parameters() if p.requires_grad]",
        new="for n, p in model.named_parameters()]",
        tests=ORACLE,
    ),
    dict(
        name="normalisation layers have weight decay",
        file="ovss/training/optim.py",
        old="(norm_mult if is_norm else 1.0)",
        new="1.0",
        tests=ORACLE,
    ),
    dict(
        name="the shortest rule for a parameter wins",
        file="ovss/training/optim.py",
        old="return max(matches, key=len, default=None)",
        new="return min(matches, key=len, default=None)",
        tests=ORACLE,
    ),
    dict(
        name="a rule matches a part of a name",
        file="ovss/training/optim.py",
        old='if f".{key}." in f".{name}."]',
        new="if key in name]",
        tests=ORACLE,
    ),
    dict(
        name="random numbers of a step depend on earlier steps",
        file="ovss/training/hooks.py",
        old="np.random.SeedSequence((runner.seed, runner.rank, runner.iter))",
        new="np.random.SeedSequence((runner.seed, runner.rank))",
        tests=ORACLE,
    ),
    dict(
        name="the average of the weights is not exported",
        file="ovss/training/export.py",
        old="hook.before_test_epoch(runner)  # swaps",
        new="pass  # swaps",
        tests=(
            "tests/training/test_precision.py::test_the_average_of_weights_is_evaluated_saved_and_exported",
        ),
    ),
    dict(
        name="old checkpoints are deleted one too early",
        file="ovss/training/checkpoints.py",
        old="old, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]",
        new="old, kept = kept[: 1 - self.max_keep_ckpts or None], kept[-self.max_keep_ckpts :]",
        tests=(*TRAINING, *RESUME),
    ),
    dict(
        name="every rank takes the whole batch",
        file="ovss/training/batch.py",
        old="share = total // world_size\n",
        new="share = total\n",
        tests=ORACLE,
    ),
]
