"""Measurements of methods: accuracy, parameters, FLOPs, time, memory, what a selector keeps."""
