"""Curves of a training in TensorBoard, MLflow and Weights & Biases."""
