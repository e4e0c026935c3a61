"""Values of `--cfg-options` and `--protocol-options`."""

from __future__ import annotations

from .cases import ANYTHING, DENIED, REFUSED, USAGE, Box, Call, Group
from .configs import PATHS, TRAINED
from .images import encoded, image_of
from .material import SEGMENT
from .odd import TEXTS

OVERRIDES = Group("overrides", weight=1.5)

TEXT_VALUES = (
    "None", "True", "nan", "-inf", "1e999", "-1", "0", "1.5", "''", "()", "[]", "{}", "dict()",
    "[1,", "{1: 2}", "(1,2,3)", "a,b", "text", "dict(type=1)", "[None]", "9" * 30, "'unclosed",
    "{'type': 'KeepAll'}", "dict(a=dict(b=[(1,)]))", "0x10", "1_0", "__import__('os').getpid()",
    "[" * 30 + "]" * 30, "\u0663", "9" * 5000, "dict(type=KeepAll, x=1)", "é", "{'a': {'b'}}",
)  # fmt: skip


def _call(box: Box, option: str, statuses: frozenset[int], command: str = "") -> Call:
    name = command or box.random.choice(("config", "segment"))
    box.write("fast.py", (box.base / "fast.py").read_bytes())
    if name == "config":
        return Call(("config", "fast.py", "--cfg-options", option), statuses)
    box.write("a.png", encoded(image_of("RGB"), "PNG"))
    return Call(("segment", "a.png", *SEGMENT, "--cfg-options", option), statuses)


@OVERRIDES.each(PATHS)
def of_a_model(box: Box, path: str) -> Call:
    return _call(box, f"{path}={box.random.choice(TEXT_VALUES)}", ANYTHING)


@OVERRIDES.each(TRAINED)
def of_a_training(box: Box, path: str) -> Call:
    box.write("train.py", (box.base / "train.py").read_bytes())
    option = f"{path}={box.random.choice(TEXT_VALUES)}"
    return Call(("config", "train.py", "--cfg-options", option), ANYTHING)


@OVERRIDES.each(["=", "x", "=1", "a..b=1", ".a=1", "a.=1", "", " =1", "model.decoder=[(1,2]"])
def not_a_pair(box: Box, option: str) -> Call:
    return _call(box, option, USAGE)


@OVERRIDES.each(
    [
        "modle.decoder.scale=1", "model.decodr.scale=1", "model.decoder.scael=1", "model.0=1",
        "model.decoder.scale.more=1", "custom_imports.imports.0=absent_module", "a.b.c=1",
        "custom_imports.imports.7=x", "custom_imports.imports.-1=x", "_base_=x.py", "model=3",
        "model.decoder.scale=text", "model.encoder.type=Nothing", "model.inference.size=0",
        "model.inference.size=(0,0)", "model.inference.size=(1,2,3)", "model.encoder.patch=0",
        "model.prompts.templates=['no place']", "model.prompts.templates=['{} {}']",
        "model.prompts.templates=['{0.__class__}']", "model.prompts.templates=['{x}']",
        "model.prompts.templates=[]", "model.prompts.templates=['{']", "model.inference.size=-5",
        "model.encoder.joint_dim=0", "model.encoder.joint_dim=-1", "model.encoder.joint_dim=1.5",
    ]
)  # fmt: skip
def wrong(box: Box, option: str) -> Call:
    return _call(box, option, REFUSED, "segment")


@OVERRIDES.each(TEXTS[::2])
def odd_template(box: Box, text: str) -> Call:
    return _call(box, f"model.prompts.templates={text}", ANYTHING, "segment")


@OVERRIDES.each(
    [
        "views.window=text", "views.window=-1", "views.window=0", "views=1", "views.window=(1,2,3)",
        "nothing=1", "views.nothing=1", "prompts.templates=absent", "score.activation=relu",
        "views.mode=sideways", "=", "views.window", "background=3", "views.window=nan",
        "prompts.templates=['{']", "data.classes=1", "metric=nothing", "views.stride=0",
    ]
)  # fmt: skip
def of_a_protocol(box: Box, option: str) -> Call:
    box.write("train.py", (box.base / "train.py").read_bytes())
    flags = ("--work-dir", "wd", "--out", "r.json", "--protocol-options", option)
    return Call(("test", "train.py", "none", *flags), DENIED, absent=("r.json",))


@OVERRIDES.each(["", "absent", "cat_sed", "a\nb", "None", "../x", "x" * 2000])
def named_protocol(box: Box, name: str) -> Call:
    box.write("train.py", (box.base / "train.py").read_bytes())
    flags = ("--work-dir", "wd", "--out", "r.json", "--protocol", name)
    return Call(("test", "train.py", "none", *flags), DENIED)
