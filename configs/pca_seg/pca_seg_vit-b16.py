"""PCA-Seg ViT-B/16 on OpenAI's CLIP: CAT-Seg's volume, aggregated over space and categories in
parallel.

Paper:  PCA-Seg: Revisiting Cost Aggregation for Open-Vocabulary Semantic and Part Segmentation,
        CVPR 2026, arXiv 2603.17520. The aggregator equals the authors' (plugins/pca_seg/README.md).
Weights: the authors' checkpoint, converted, if you have one on this tower:
        ovss convert pca_seg model_final.pth pca_seg_vit-b16.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model pca_seg_vit-b16 --weights F
Train:  ovss train pca_seg_vit-b16      (COCO-Stuff 164k in data/coco_stuff_171)
mIoU:   none published with this tower (the paper's numbers use DeCLIP, see pca_seg_eva02-l14).
Recipe: that of CAT-Seg (see cat_seg_vit-b16), as in the authors' config for this tower; the overlap
        of the two streams is an additional loss with weight 0.001. The statistics of the fusion are
        those of all ranks.
Hours:  not trained here.
Size:   157,040,502 parameters, 27,866,997 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.pca_seg"])
protocol = "cat_seg"
matmul_precision = "high"  # TF32 on GPUs that support it
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPEncoder",
        model="ViT-B-16-quickgelu",
        pretrained="openai",
        image_size=384,
        levels=(3, 7),
        dense="cat_seg",
        trainable="qv",
    ),
    selector=dict(type="ClipTopK", k=256),
    head=dict(type="CosineHead"),
    decoder=dict(
        type="PCADecoder",
        joint_dim=512,
        level_dims=(768, 768),
        dim=128,
        guide_dim=128,
        layers=2,
        heads=4,
        window=12,
        expand=4,
        pool=(2, 1),
        pad_length=256,
        level_middle=(256, 128),
        level_guides=(32, 16),
        stage_dims=(64, 32),
        experts=4,
        gate_dim=32,
        overlap_weight=0.001,
        chunk=16,
    ),
    post_processor=dict(type="Identity"),
    criterion=dict(type="bce"),
    prompts=dict(templates="cat_seg", synonyms="first"),
    inference=dict(mode="slide", size=640, window=384, stride=256, global_view=True),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.01))),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
