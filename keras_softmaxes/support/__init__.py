"""Helpers of all modules: arguments, labels, kernels, replicas, tensors, configuration."""
