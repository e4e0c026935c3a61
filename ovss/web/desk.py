"""Work of the page without gradio: from the values of the fields to HTML and lines of code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ovss.api.inferencer import Inferencer

from .answers import Answers
from .computing import Segmented, segment_each
from .form import Form
from .limits import Limits
from .lines import command_lines, python_lines
from .methods import MethodChoice
from .models import ModelStore
from .uploads import read_user_image, shown_name
from .view import error_card, message, page_of_cards, result_card, waiting_card

__all__ = ["Desk", "Shown"]


class Shown(NamedTuple):
    """State of the outputs.

    Args:
        results: HTML of the results.
        command: command lines that give them.
        python: Python lines that give them.
    """

    results: str
    command: str = ""
    python: str = ""


class Desk:
    """Answers requests of the page.

    Args:
        choices: methods that can be used.
        limits: limits of the page.
        folder: private folder.
        uploads: folder in which uploaded files lie; no other file is read.
        describe: function that gives one line for an exception, for users.
        report: callback for exceptions that users cannot mend.
    """

    def __init__(
        self,
        choices: Sequence[MethodChoice],
        limits: Limits,
        folder: Path,
        uploads: Path,
        describe: Callable[[BaseException], str] = str,
        report: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.choices = {choice.name: choice for choice in choices}
        self.limits, self.uploads = limits, uploads.resolve()
        self.describe, self.report = describe, report
        self.answers = Answers(folder / "answers", limits.answers)
        self.models = ModelStore(self._build, limits.models)

    def _build(self, name: str) -> Inferencer:
        choice = self.choices[name]
        return Inferencer(name, weights=choice.weights or "default", pretrained=choice.pretrained)

    def segment(
        self,
        upload: Mapping[str, Any] | None,
        words: str | None,
        background: str | None,
        threshold: float | None,
        methods: Sequence[str] | None,
    ) -> Iterator[Shown]:
        """Segments an image.

        Args:
            upload: uploaded file: ``path`` in the folder of uploads, and ``orig_name``.
            words: see `Form.of`.
            background: see `Form.of`.
            threshold: see `Form.of`.
            methods: see `Form.of`.

        Yields:
            State of the outputs, again after each method. Errors are messages in it.
        """
        try:
            form = Form.of(words, background, threshold, methods, self.choices, self.limits)
            path, name = self._stored(upload)
            image = read_user_image(path, name, self.limits)
        except Exception as error:
            yield Shown(message(self._text(error)))
            return
        chosen = [self.choices[method] for method in form.methods]
        lines = (command_lines(form, chosen, name), python_lines(form, chosen, name))
        cards = {method: waiting_card(method) for method in form.methods}
        yield Shown(page_of_cards(cards.values()), *lines)
        for segmented in segment_each(form, image, self.models):
            cards[segmented.method] = self._card(segmented, name)
            yield Shown(page_of_cards(cards.values()), *lines)

    def _stored(self, upload: Mapping[str, Any] | None) -> tuple[Path, str]:
        """Path of an uploaded file and the name that its user knows."""
        if upload is not None and not isinstance(upload, Mapping):
            raise ValueError("The fields have unexpected values. Reload the page")
        if not upload or not isinstance(upload.get("path"), str):
            raise ValueError("No image is chosen. Upload one, or choose a sample")
        path = Path(upload["path"]).resolve()
        if not path.is_relative_to(self.uploads) or not path.is_file():
            raise ValueError("The image is no longer kept here. Upload it again")
        return path, shown_name(str(upload.get("orig_name") or path.name))

    def _card(self, segmented: Segmented, image_name: str) -> str:
        error = segmented.error
        if error is None and segmented.result is not None:
            try:
                token = self.answers.add(segmented.result, image_name)
                return result_card(segmented, segmented.result, token)
            except Exception as failure:  # such as a full disk
                error = failure
        return error_card(segmented.method, self._text(error or RuntimeError("no result")))

    def _text(self, error: Exception) -> str:
        """Message for the user; an error that is not about the input is reported as well."""
        if not isinstance(error, ValueError | LookupError | ImportError):
            self.report(error)
        return f"{self.describe(error).rstrip('.')}."
