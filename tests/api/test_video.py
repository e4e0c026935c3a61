"""Videos and folders of frames are read upright and in time, and written whole."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from ovss.api.result import SegmentationResult
from ovss.api.video import segment_video
from ovss.io.images import ImageError
from ovss.io.outputs import is_own_output
from ovss.io.video import VideoError, open_frames

av = pytest.importorskip("av")

RED, BLUE = (200, 30, 30), (20, 40, 180)


def frame(i: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Red above blue; the border moves down with the frame's number."""
    rgb_HW3 = np.empty((height, width, 3), np.uint8)
    rgb_HW3[:], rgb_HW3[: 12 + 2 * i] = BLUE, RED
    return rgb_HW3


def make(path, count=8, rotation=None, times=None, codec="libx264", **options):
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for i in range(count):
            image = av.VideoFrame.from_ndarray(frame(i), format="rgb24")
            image.pts, image.time_base = times[i] if times else 40 * i, Fraction(1, 1000)
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    return path


def segment(rgb_HW3):
    """Category 0 is red, 1 is blue."""
    labels_HW = (rgb_HW3[..., 2] > rgb_HW3[..., 0]).astype(np.int64)
    return SegmentationResult(labels_HW, ("red", "blue"), np.ones(2, np.float32), rgb_HW3)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def share(line, name):
    return next(row["share"] for row in line["categories"] if row["category"] == name)


def test_a_video_gives_its_overlay_and_a_line_per_frame(tmp_path):
    source = make(tmp_path / "clip.mp4")
    done = segment_video(source, segment, tmp_path / "out", labels=True)
    assert (done.frames, done.size, done.damage) == (8, (48, 64), "")
    assert done.seconds == pytest.approx(7 * 0.04)
    assert [path.name for path in done.files] == ["clip_overlay.mp4", "clip.jsonl", "clip_labels"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        p.name for p in done.files
    )
    rows = lines(done.files[1])
    assert [row["index"] for row in rows] == list(range(8))
    assert [row["time"] for row in rows] == pytest.approx([0.04 * i for i in range(8)])
    for i in range(8):
        assert share(rows[i], "red") == pytest.approx((12 + 2 * i) / 48, abs=0.03)
        labels = np.asarray(Image.open(done.files[2] / f"{i:06d}.png"))
        assert labels.dtype == np.uint8
        assert (labels == 0).mean() == pytest.approx(share(rows[i], "red"), abs=1e-6)
    assert done.categories[0]["category"] == "blue"
    assert sum(row["share"] for row in done.categories) == pytest.approx(1, abs=1e-5)

    written = list(open_frames(done.files[0]).frames)
    assert [f.time for f in written] == pytest.approx([0.04 * i for i in range(8)])
    drawing = np.asarray(segment(frame(7)).draw(legend=False))
    assert np.abs(written[7].rgb.astype(int) - drawing)[[5, 46]].mean() < 4  # colours survive
    with av.open(str(done.files[0])) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(25, rel=1e-3)
    assert is_own_output(done.files[0])


@pytest.mark.parametrize(("rotation", "upright"), [(-90, -1), (90, 1), (180, 2)])
def test_rotated_videos_are_upright(tmp_path, rotation, upright):
    """-90 is the matrix of a phone that is held upright: shown turned clockwise."""
    path = make(tmp_path / "turned.mp4", 1, rotation)
    if rotation == -90:
        assert bytes.fromhex("00000000 00010000 00000000 ffff0000") in path.read_bytes()
    (shown,) = open_frames(path).frames
    wanted = np.rot90(frame(0), upright)
    assert shown.rgb.shape == wanted.shape
    assert np.abs(shown.rgb.astype(int) - wanted).mean() < 4
    assert segment_video(path, segment, tmp_path).size == wanted.shape[:2]


def test_times_of_a_variable_frame_rate_are_kept(tmp_path):
    times = [0, 20, 140, 150, 400, 410, 420, 1000]
    source = make(tmp_path / "clip.mkv", times=times)
    done = segment_video(source, segment, tmp_path)
    shown = [f.time for f in open_frames(done.files[0]).frames]
    assert shown == pytest.approx([t / 1000 for t in times], abs=0.001)


def test_steps_between_frames(tmp_path):
    source = make(tmp_path / "clip.mp4")
    done = segment_video(source, segment, tmp_path, "steps", every=3)
    assert [row["index"] for row in lines(done.files[1])] == [0, 3, 6]
    assert [f.time for f in open_frames(done.files[0]).frames] == pytest.approx([0, 0.12, 0.24])


def test_folders_of_frames_in_natural_order_with_odd_sizes(tmp_path):
    (tmp_path / "frames").mkdir()
    for i in (1, 2, 10):
        Image.fromarray(frame(i, 49, 65)).save(tmp_path / "frames" / f"f{i}.png")
    done = segment_video(tmp_path / "frames", segment, tmp_path, fps=10)
    rows = lines(tmp_path / "frames.jsonl")
    assert [round(share(row, "red") * 49) for row in rows] == [14, 16, 32]
    assert [row["time"] for row in rows] == [0, 0.1, 0.2]
    written = list(open_frames(done.files[0]).frames)
    assert [f.rgb.shape for f in written] == [(50, 66, 3)] * 3
    assert done.size == (49, 65)
    memory = segment_video((frame(i) for i in range(2)), segment, tmp_path)
    assert [path.name for path in memory.files] == ["frames_overlay.mp4", "frames.jsonl"]


def test_what_is_no_video_is_refused(tmp_path):
    whole = make(tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # the index at its end is missing
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nclip.mp4\n")
    (tmp_path / "bare").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    for name, message in {
        "cut.mp4": "not a video that can be read",
        "empty.mp4": "empty; expected a video",
        "text.mp4": "not a video that can be read",
        "list.mp4": "not a video that can be read",
        "absent.mp4": "no such file",
        "sound.mp4": "has no video stream",
        "bare": "no images in this folder",
    }.items():
        with pytest.raises(ImageError, match=f"{name}: .*{message}"):
            segment_video(tmp_path / name, segment, tmp_path / "out")
    with pytest.raises(VideoError, match="has no frames"):
        segment_video([], segment, tmp_path / "out")
    with pytest.raises(
        VideoError, match=r"64 x 48 pixels as the first one, found 32 x 48 in frame 1"
    ):
        segment_video([frame(0), frame(1, 48, 32)], segment, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_a_video_cut_short_keeps_the_frames_before(tmp_path):
    whole = make(tmp_path / "clip.mkv", 60, codec="mpeg4").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    done = segment_video(tmp_path / "cut.mkv", segment, tmp_path)
    assert 0 < done.frames < 60
    assert len(lines(done.files[1])) == done.frames


def test_damage_ends_the_video_and_is_reported(tmp_path, monkeypatch):
    def frames(*_, **__):
        sequence = open_frames([frame(0), frame(1)])

        def damaged():
            yield from sequence.frames
            raise VideoError("clip.mp4: damaged after 2 frames")

        return type(sequence)("clip.mp4", sequence.fps, 9, damaged())

    monkeypatch.setattr("ovss.api.video.open_frames", frames)
    done = segment_video("clip.mp4", segment, tmp_path)
    assert (done.frames, done.damage) == (2, "clip.mp4: damaged after 2 frames")
    assert len(list(open_frames(done.files[0]).frames)) == 2


def test_an_interrupted_run_leaves_earlier_outputs(tmp_path):
    source = make(tmp_path / "clip.mp4")
    segment_video(source, segment, tmp_path, labels=True)
    before = {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}

    def failing(rgb_HW3):
        if rgb_HW3[20, 0, 0] > 100:  # in a later frame
            raise KeyboardInterrupt
        return segment(rgb_HW3)

    with pytest.raises(KeyboardInterrupt):
        segment_video(source, failing, tmp_path, labels=True)
    assert {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()} == before


def test_files_of_the_user_are_not_replaced(tmp_path):
    source = make(tmp_path / "clip_overlay.mp4")
    with pytest.raises(ValueError, match="would replace the video"):
        segment_video(source, segment, tmp_path, "clip")
    (tmp_path / "own_labels").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "own_labels" / "000000.png")
    with pytest.raises(FileExistsError, match=r"holds files of other origin, such as 000000\.png"):
        segment_video(source, segment, tmp_path, "own", labels=True)
    with pytest.raises(ValueError, match="every=0"):
        segment_video(source, segment, tmp_path, every=0)
    with pytest.raises(ValueError, match="a video states its own"):
        segment_video(source, segment, tmp_path, fps=3)
