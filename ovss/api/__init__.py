"""Python API: `Inferencer` and the result it returns."""
