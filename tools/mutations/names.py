"""Planted bugs in vocabularies, prompts, text embeddings and their cache, and in encoders."""

CACHE = ("tests/encoders/test_text_cache.py",)
TEXT = ("tests/encoders/test_open_clip_text.py",)
PREFIXES = ("tests/encoders/test_shared_prefixes.py",)

BUGS = [
    dict(
        name="prompts are averaged before they are normalised",
        file="ovss/encoders/open_clip_text.py",
        old="    embeds_PNC = F.normalize(embeds_NC.float(), dim=-1)"
        ".unflatten(0, (templates, total))\n",
        new="    embeds_NC = embeds_NC.float()\n"
        "    embeds_NC = F.normalize(embeds_NC, dim=-1) if total == len(names) else embeds_NC\n"
        "    embeds_PNC = embeds_NC.unflatten(0, (templates, total))\n",
        tests=TEXT,
    ),
    dict(
        name="averaged synonyms are not normalised",
        file="ovss/encoders/open_clip_text.py",
        old="return F.normalize(means_PTC, dim=-1).transpose(0, 1).contiguous()",
        new="return means_PTC.transpose(0, 1).contiguous()",
        tests=TEXT,
    ),
    dict(
        name="embeddings stay in the order of their length",
        file="ovss/encoders/open_clip_text.py",
        old="return embeds_NC.float()[row_N.to(device)]",
        new="return embeds_NC.float()",
        tests=PREFIXES,
    ),
    dict(
        name="embeddings stay in the order of their prefixes",
        file="ovss/encoders/shared_prefixes.py",
        old="return torch.cat(parts)[order_N.argsort().to(parts[0].device)]",
        new="return torch.cat(parts)",
        tests=PREFIXES,
    ),
    dict(
        name="a token sees the tokens behind it",
        file="ovss/encoders/shared_prefixes.py",
        old="return seen.tril(length)",
        new="return seen",
        tests=PREFIXES,
    ),
    dict(
        name="the prefix of one template serves all",
        file="ovss/encoders/shared_prefixes.py",
        old="groups = [prompts.groups[index] for index in chunk]",
        new="groups = [prompts.groups[chunk[0]] for index in chunk]",
        tests=PREFIXES,
    ),
    dict(
        name="names and templates are exchanged",
        file="ovss/encoders/open_clip_text.py",
        old="           for template in vocabulary.templates\n"
        "           for category, synonyms in enumerate(names)\n"
        "           for name in synonyms]",
        new="           for category, synonyms in enumerate(names)\n"
        "           for name in synonyms\n"
        "           for template in vocabulary.templates]",
        tests=TEXT,
    ),
    dict(
        name="the last synonym counts as the first",
        file="ovss/vocabularies/prompts.py",
        old="return [synonyms[:1] for synonyms in names]",
        new="return [synonyms[-1:] for synonyms in names]",
        tests=(*TEXT, "tests/vocabularies/test_vocabularies.py"),
    ),
    dict(
        name="the article follows the last letter",
        file="ovss/vocabularies/prompts.py",
        old='article = "an" if name[:1].lower()',
        new='article = "an" if name[-1:].lower()',
        tests=("tests/encoders/test_open_clip_text.py", "ovss/vocabularies/prompts.py"),
    ),
    dict(
        name="synonyms of the rule max are owned by their own number",
        file="ovss/vocabularies/vocabulary.py",
        old="            (synonym, index)\n",
        new="            (synonym, index % 2)\n",
        tests=("tests/test_segmentor.py",),
    ),
    dict(
        name="templates are not part of the cache key",
        file="ovss/encoders/vocabulary_encoder.py",
        old="            templates=vocabulary.templates,\n",
        new="            templates=len(vocabulary.templates),\n",
        tests=CACHE,
    ),
    dict(
        name="weights are not part of the cache key",
        file="ovss/encoders/vocabulary_encoder.py",
        old="            weights=weights,\n",
        new="            weights=len(weights),\n",
        tests=CACHE,
    ),
    dict(
        name="further synonyms are not part of the cache key",
        file="ovss/encoders/vocabulary_encoder.py",
        old="keys = [json.dumps(texts) for texts in names]",
        new="keys = [json.dumps(texts[:1]) for texts in names]",
        tests=CACHE,
    ),
    dict(
        name="names that are known are encoded again",
        file="ovss/encoders/text_cache.py",
        old="if key not in known.places}",
        new="}",
        tests=CACHE,
    ),
    dict(
        name="training reads the cache",
        file="ovss/encoders/vocabulary_encoder.py",
        old="if clip.training and trains and torch.is_grad_enabled():",
        new="if False:",
        tests=CACHE,
    ),
    dict(
        name="a damaged entry of the cache is used",
        file="ovss/encoders/text_files.py",
        old='if digest.hexdigest() != known["sha256"]:',
        new="if False:",
        tests=CACHE,
    ),
    dict(
        name="the most recent entry of the cache is deleted first",
        file="ovss/encoders/text_files.py",
        old="for _, size, path in sorted(entries)[:-1]:",
        new="for _, size, path in sorted(entries, reverse=True)[:-1]:",
        tests=("tests/encoders/test_attention_oracle.py",),
    ),
    dict(
        name="a checksum ignores the order of rows",
        file="ovss/io/fingerprint.py",
        old="return (mixed ^ (mixed >> 29)) * 0x3F58476D1CE4E5B9 | 1",
        new="return torch.ones_like(mixed)",
        tests=CACHE,
    ),
    dict(
        name="patches do not attend to the class token",
        file="ovss/encoders/last_block.py",
        old="query_BHMd, value_BHNd = x_BHNd[:, :, self.prefix :], self.heads(self.v_BND)",
        new="query_BHMd, value_BHNd = x_BHNd[:, :, :-1], self.heads(self.v_BND)",
        tests=("tests/encoders/test_attention_oracle.py",),
    ),
    dict(
        name="a dense mode adds the residual of the class token",
        file="ovss/encoders/dense.py",
        old="return last.finish(last.patches(last.tokens_BND) + last.project(value_BMD))",
        new="return last.finish(last.tokens_BND[:, :1] + last.project(value_BMD))",
        tests=("tests/encoders/test_attention_oracle.py",),
    ),
    dict(
        name="values and keys are exchanged when attention is split",
        file="ovss/encoders/attention.py",
        old='for name, part in zip("qkv", fused.chunk(3), strict=True):',
        new='for name, part in zip("qvk", fused.chunk(3), strict=True):',
        tests=("tests/encoders/test_attention_oracle.py",),
    ),
    dict(
        name="frozen keys are trained",
        file="ovss/encoders/trainable.py",
        old="for p in (a.q_proj_weight, a.v_proj_weight)}",
        new="for p in (a.q_proj_weight, a.k_proj_weight, a.v_proj_weight)}",
        tests=("tests/encoders/test_loading.py", "tests/encoders/test_open_clip_image.py"),
    ),
    dict(
        name="the logit scale is trained",
        file="ovss/encoders/trainable.py",
        old='NEVER = ("logit_scale", "logit_bias")',
        new='NEVER = ("logit_bias",)',
        tests=("tests/encoders/test_loading.py", "tests/encoders/test_open_clip_image.py"),
    ),
    dict(
        name="pixels are divided by the mean",
        file="ovss/layers/pixels.py",
        old="return (pixels_B3HW - mean_311) / std_311",
        new="return (pixels_B3HW - std_311) / mean_311",
        tests=("tests/encoders/test_open_clip_image.py",),
    ),
    dict(
        name="commas in quick names make synonyms",
        file="ovss/vocabularies/parsing.py",
        old='name.split("|")) for name in names]',
        new='name.split("/")) for name in names]',
        tests=("tests/vocabularies/test_parsing.py",),
    ),
]
