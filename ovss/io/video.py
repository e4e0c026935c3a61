"""Video files and folders of frames, read frame by frame.

Videos are decoded by PyAV, the extra ``video`` of this package.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from .decoding import MAX_PIXELS
from .images import read_image, to_rgb
from .names import ImageError, natural_key, printable
from .regular import open_regular
from .sources import find_images

__all__ = ["Frame", "FrameSequence", "VideoError", "import_pyav", "open_frames"]

DEFAULT_FPS = 25
"""Frames per second of a folder or of frames from memory, where nothing states them."""

# demuxers that read one file: playlists could make a video read other files
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,gif,apng,h264,hevc,"
    "ivf,dv,mxf"
)


class VideoError(ImageError):
    """A video that cannot be used; the message names it and gives the reason."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a sequence.

    Args:
        index: number of the frame in the sequence, from 0.
        time: seconds since the first frame.
        rgb: (H, W, 3) RGB uint8, upright.
    """

    index: int
    time: float
    rgb: np.ndarray


@dataclass(frozen=True, eq=False)
class FrameSequence:
    """Frames in order; each is decoded when the iteration reaches it.

    Args:
        name: printable name for messages.
        fps: average number of frames per second of the source.
        count: number of frames that the source states, or None.
        frames: the frames. They can be iterated once.
        aspect: width of a pixel divided by its height.
    """

    name: str
    fps: Fraction
    count: int | None
    frames: Iterator[Frame]
    aspect: Fraction = Fraction(1)


def open_frames(source: Any, *, every: int = 1, fps: float | None = None) -> FrameSequence:
    """Opens a video file, a folder of frames, or frames from memory.

    Rotation that the file states is applied. Frame times of videos are those of the file, so the
    frame rate may vary. Sound is ignored.

    Args:
        source: path of a video; path of a folder, whose images are taken in natural order
            (``frame9`` before ``frame10``); or an iterable of images as in `to_rgb`.
        every: step between the frames that are used; 2 takes each second frame.
        fps: frames per second of a folder or iterable; None means 25. Videos state their own.

    Raises:
        VideoError: the file does not exist, is not a video, or has no video stream.
        ImageError: a folder has no images.
        ImportError: PyAV is not installed.
        ValueError: `every` or `fps` is not positive, or `fps` is given for a video.
    """
    if every < 1 or (fps is not None and not 0 < fps < float("inf")):
        raise ValueError(f"expected positive values, found every={every} and fps={fps}")
    rate = Fraction(DEFAULT_FPS if fps is None else fps).limit_denominator(1001)
    if not isinstance(source, str | os.PathLike):
        return FrameSequence("frames", rate, _length(source), _from_images(source, every, rate))
    path = Path(source)
    if path.is_dir():
        files = sorted(find_images([path]), key=natural_key)
        return FrameSequence(printable(path), rate, len(files), _from_images(files, every, rate))
    if fps is not None:
        raise ValueError("fps describes folders of frames; a video states its own frame rate")
    return _open_video(path, every)


def _open_video(path: Path, every: int) -> FrameSequence:
    av = import_pyav()
    name = printable(path)
    with _file(path, name) as file, _opened(av, file, name) as container:
        if not container.streams.video:
            raise VideoError(f"{name}: has no video stream")
        stream = container.streams.video[0]
        size = stream.codec_context.width, stream.codec_context.height
        if size[0] * size[1] > MAX_PIXELS:
            raise VideoError(
                f"{name}: expected frames of at most {MAX_PIXELS:,} pixels, found {size[0]} x "
                f"{size[1]}. Make the video smaller"
            )
        fps = Fraction(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        count = stream.frames or None
        if count is None and container.duration:
            count = round(container.duration / av.time_base * fps)
        try:
            turned = next(container.decode(stream)).rotation % 180 == 90
        except StopIteration:
            raise VideoError(f"{name}: has no frames") from None
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"{name}: has no frame that can be decoded ({error})") from error
    aspect = 1 / aspect if turned and aspect else aspect or Fraction(1)
    return FrameSequence(name, fps, count, _decode(av, path, name, fps, every), aspect)


def _file(path: Path, name: str) -> IO[bytes]:
    """Opened file of a video; raises VideoError."""
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise VideoError(f"{name}: no such file") from None
    except OSError as error:
        raise VideoError(f"{name}: {error.strerror}") from None
    if not os.fstat(file.fileno()).st_size:
        file.close()
        raise VideoError(f"{name}: empty; expected a video")
    return file


def _decode(av: Any, path: Path, name: str, fps: Fraction, every: int) -> Iterator[Frame]:
    index, start, time = 0, None, -1.0
    with _file(path, name) as file, _opened(av, file, name) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                start = frame.time if start is None else start
                has_time = frame.time is not None and frame.time - start > time
                time = frame.time - start if has_time else time + float(1 / fps) * (time >= 0)
                time = max(time, 0.0)
                if index % every == 0:
                    rgb_HW3 = frame.to_ndarray(format="rgb24", **_colors(frame))
                    yield Frame(index, time, np.rot90(rgb_HW3, round(frame.rotation / 90)))
                index += 1
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"{name}: damaged after {index} frames ({error})") from error


def _colors(frame: Any) -> dict[str, str]:
    """Options for the stated colour space of a frame.

    Versions of PyAV before 17 apply it only if the destination has another one, which RGB ignores.
    """
    if frame.colorspace != 1:
        return {}
    return {"src_colorspace": "ITU709", "dst_colorspace": "ITU601"}


def _opened(av: Any, file: IO[bytes], name: str) -> Any:
    try:
        return av.open(file, options={"format_whitelist": _FORMATS})
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"{name}: not a video that can be read ({error.strerror})") from error


def _from_images(images: Iterable[Any], every: int, fps: Fraction) -> Iterator[Frame]:
    for index, image in enumerate(images):
        if index % every == 0:
            rgb_HW3 = read_image(image) if isinstance(image, Path) else to_rgb(image)
            yield Frame(index, float(index / fps), rgb_HW3)


def _length(images: Any) -> int | None:
    return len(images) if hasattr(images, "__len__") else None


def import_pyav() -> Any:
    """Module ``av``; raises an ImportError that says how to install it."""
    try:
        import av
    except ImportError:
        raise ImportError(
            "Videos need the package av (PyAV), which is not installed. "
            "Run pip install 'ovss[video]'."
        ) from None
    return av
