"""What every floor stands on: arguments, labels, kernels, replicas, tensors, configuration."""
