"""Video writing: H.264 in an MP4 file."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import IO, Any

import numpy as np

from .video import import_pyav

__all__ = ["VideoWriter"]

_TIME_BASE = Fraction(1, 60000)  # exact for common rates, and within the 16 bits of MPEG-4 part 2
_ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "20"},
    "libopenh264": {},
    "mpeg4": {"qscale": "3"},
}


class VideoWriter:
    """Encoder of one video: H.264 where an encoder is installed, else MPEG-4, in an MP4 file.

    Pixels are yuv420p with BT.709 colours. An odd height or width gets one more row or column,
    which repeats the last one, because this format needs even sizes.

    Args:
        file: binary file that can be written and seeked.
        size: (height, width) of the frames.
        fps: frames per second; frames may come at other times.
        aspect: width of a pixel divided by its height.
    """

    def __init__(
        self, file: IO[bytes], size: tuple[int, int], fps: Fraction, aspect: Fraction = Fraction(1)
    ) -> None:
        av = import_pyav()
        self._av, self._size = av, size
        name = next((name for name in _ENCODERS if _has_encoder(av, name)), None)
        if name is None:
            raise ImportError(f"PyAV has none of the video encoders {', '.join(_ENCODERS)}.")
        self._container = av.open(file, mode="w", format="mp4")
        fps = fps.limit_denominator(1001)
        stream = self._container.add_stream(name, rate=fps, options=dict(_ENCODERS[name]))
        stream.height, stream.width = size[0] + size[0] % 2, size[1] + size[1] % 2
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.time_base = _TIME_BASE
        codec.sample_aspect_ratio = aspect
        codec.colorspace = codec.color_primaries = codec.color_trc = 1  # BT.709
        codec.color_range = 1
        self._stream, self._duration, self._last = stream, round(1 / fps / _TIME_BASE), -1

    def write(self, rgb_HW3: np.ndarray, time: float) -> None:
        """Adds a frame that is shown from `time`, in seconds.

        Raises:
            ValueError: the frame has another size than the first one.
        """
        if rgb_HW3.shape[:2] != self._size:
            raise ValueError(
                f"expected frames of (height, width) {self._size}, found {rgb_HW3.shape[:2]}"
            )
        height, width = self._size
        pad = ((0, height % 2), (0, width % 2), (0, 0))
        padded_HW3 = np.ascontiguousarray(np.pad(rgb_HW3, pad, mode="edge"))
        frame = self._av.VideoFrame.from_ndarray(padded_HW3, format="rgb24")
        frame = frame.reformat(
            format="yuv420p",
            dst_colorspace="ITU709",
            src_color_range="JPEG",
            dst_color_range="MPEG",
        )
        self._last = max(round(time / _TIME_BASE), self._last + 1)
        frame.pts, frame.time_base, frame.duration = self._last, _TIME_BASE, self._duration
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """Completes the file; after an error it is only closed, and its content is of no use."""
        if error is None:
            self._container.mux(self._stream.encode())
            self._container.close()
            return
        with suppress(Exception):  # the first error is the one to report
            self._container.close()


def _has_encoder(av: Any, name: str) -> bool:
    try:
        av.Codec(name, "w")
    except ValueError:
        return False
    return True
