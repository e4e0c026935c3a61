"""Export of a model to ONNX files that a small runner uses without torch.

`ovss.export.write` turns a model into a folder, `ovss.export.run` segments images with it. The text
embeddings are an input of the graph, with any number of categories, so that an exported model
segments any vocabulary in one pass.
"""
