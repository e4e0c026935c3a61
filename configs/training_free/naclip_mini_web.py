"""Training-free: keys attend to nearby keys in mini_web's last block, on scenes of 80 pixels.

Paper: Pay Attention to Your Neighbours: Training-Free Open-Vocabulary Semantic
       Segmentation (NACLIP), WACV 2025, arXiv 2404.08181; see naclip_mini.
Run:   ovss test naclip_mini_web
mIoU:  on 200 scenes of 150 categories (80 px), seen / unseen / harmonic mean:
       8.9 / 10.0 / 9.4.
"""

_base_ = ["maskclip_mini.py"]
_scenes = dict(size=80, objects=(1, 4), name="mini_web")
protocol = "mini_web_training_free"
model = dict(
    encoder=dict(
        model="mini_web",
        pretrained="mini_web",
        image_size=80,
        dense=dict(_delete_=True, type="naclip", std=5.0),
    ),
    inference=dict(size=80),
)
val_dataloader = dict(dataset=_scenes)
test_dataloader = dict(dataset=_scenes)
