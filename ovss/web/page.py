"""Page of `ovss demo --web`, built with gradio."""

# no `from __future__ import annotations`: gradio reads the annotation of `choose` as a class

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .desk import Desk, Shown
from .limits import MIB
from .methods import MethodChoice
from .samples import Sample

__all__ = ["build_page"]

TITLE = "OVSS: segment an image into the categories you name"
INTRODUCTION = """# Segment an image into the categories you name

Upload an image or choose a sample, type the categories, choose up to {methods} methods, and press
**Segment**. Move the pointer over a result to see the category of each pixel."""
WORDS_HELP = "Separate categories with commas and synonyms with |, or name a vocabulary."
METHODS_HELP = "Bundled models (mini) know synthetic shapes only."
FILE = Path(__file__)


def build_page(desk: Desk, samples: Sequence[Sample], others: Sequence[MethodChoice]) -> Any:
    """Builds the page.

    Args:
        desk: answers requests.
        samples: images of the gallery.
        others: methods that cannot be used, with the reasons.

    Returns:
        ``gradio.Blocks``.
    """
    import gradio as gr

    limits = desk.limits
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True
    ) as page:
        gr.Markdown(INTRODUCTION.format(methods=limits.methods))
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                fields = _fields(desk, samples)
                button = gr.Button("Segment", variant="primary", elem_id="segment")
                _unavailable(others)
            with gr.Column(scale=2, min_width=280):
                outputs = _outputs()

        def segment(*values: Any) -> Iterator[Shown]:
            yield from desk.segment(*values)

        button.click(
            segment,
            fields,
            outputs,
            preprocess=False,  # gradio would decode the image before its size is checked
            concurrency_limit=limits.running,
            concurrency_id="segment",
            api_visibility="private",
            show_progress="minimal",
        )
    page.queue(max_size=limits.waiting, api_open=False)
    return page


def _fields(desk: Desk, samples: Sequence[Sample]) -> list[Any]:
    """Input fields, in the order of `Desk.segment`."""
    import gradio as gr

    limits = desk.limits
    image = gr.Image(
        label=f"Image, up to {limits.upload / MIB:g} MiB and {limits.pixels / 1e6:g} million "
        "pixels",
        type="filepath",
        sources=["upload"],
        buttons=["download", "fullscreen"],
        height=260,
        elem_id="image",
    )
    gallery = None
    if samples:
        gr.Markdown("or choose a sample:", elem_id="or")
        gallery = gr.Gallery(
            [str(sample.thumbnail) for sample in samples],
            label="Samples",
            show_label=False,
            columns=len(samples),  # one row, which scrolls
            height=125,
            object_fit="cover",
            allow_preview=False,
            buttons=[],
            elem_id="samples",
        )
    words = gr.Textbox(
        label="Categories",
        info=WORDS_HELP,
        placeholder="cat, sofa|couch, grass",
        lines=3,
        max_lines=8,
        elem_id="words",
    )
    methods = gr.Dropdown(
        [(_label(choice), choice.name) for choice in desk.choices.values()],
        value=list(desk.choices)[:1],
        label=f"Methods, up to {limits.methods}",
        info=METHODS_HELP if any(choice.is_bundled for choice in desk.choices.values()) else None,
        multiselect=True,
        max_choices=limits.methods,
        elem_id="methods",
    )
    with gr.Accordion("Background and threshold", open=False, elem_id="rules"):
        background = gr.Textbox(
            label="Background names",
            info="They stand for everything else: pixels that they win are unknown.",
            placeholder="wall, floor, sky",
            elem_id="background",
        )
        threshold = gr.Slider(
            0,
            1,
            value=0,
            step=0.01,
            label="Threshold",
            info="Pixels whose best category is less likely are unknown.",
            elem_id="threshold",
        )
    if gallery is not None:
        _connect(gallery, samples, image, words)
    return [image, words, background, threshold, methods]


def _connect(gallery: Any, samples: Sequence[Sample], image: Any, words: Any) -> None:
    """Makes the gallery fill in the image and the categories."""
    import gradio as gr

    def choose(event: gr.SelectData) -> tuple[Any, Any]:
        sample = samples[int(event.index)]
        return str(sample.path), sample.words or gr.skip()

    gallery.select(
        choose, None, [image, words], api_visibility="private", queue=False, show_progress="hidden"
    )


def _outputs() -> list[Any]:
    """Outputs, in the order of `Shown`."""
    import gradio as gr

    results = gr.HTML(
        '<p class="ovss-times">Results appear here.</p>',
        js_on_load=FILE.with_name("page.js").read_text(encoding="utf-8"),
        elem_id="results",
    )
    with gr.Accordion("The same on the command line and in Python", open=False, elem_id="lines"):
        gr.Markdown("Run these in the folder of the image. They give the files of the downloads.")
        command = gr.Code(
            label="Command line",
            language="shell",
            interactive=False,
            wrap_lines=True,
            max_lines=12,
            elem_id="command",
        )
        python = gr.Code(
            label="Python",
            language="python",
            interactive=False,
            wrap_lines=True,
            max_lines=12,
            elem_id="python",
        )
    return [results, command, python]


def _label(choice: MethodChoice) -> str:
    return f"{choice.name} ({choice.published})" if choice.published else choice.name


def _unavailable(others: Sequence[MethodChoice]) -> None:
    import gradio as gr

    if not others:
        return
    rows = [f"<li><b>{escape(o.name)}</b>: {escape(o.problem)}</li>" for o in others]
    title = f"{len(others)} methods that cannot be used here, and why"
    with gr.Accordion(title, open=False, elem_id="others"):
        gr.HTML(f'<ul class="ovss-methods">{"".join(rows)}</ul>')
