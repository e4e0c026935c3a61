"""Python API: an `Inferencer` and the result that it gives."""
