"""Models as folders: written, checked, read, and exchanged with the Hugging Face hub.

A folder holds ``config.json``, ``model.safetensors``, ``README.md`` (the model card) and, for
models that read files after they are built, ``assets/``. Nothing in it is executed when it is
loaded.
"""
