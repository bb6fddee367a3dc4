"""Trains every head on one device, and with its classes split over eight, on JAX.

A process of its own: JAX makes its devices once. Prints for each head the largest difference of the
weights and the loss, and which share of what has a number for each class the fullest device holds.
"""

import inspect
import json
import os

os.environ["KERAS_BACKEND"] = "jax"
# What is compiled runs for milliseconds: it need not be fast.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)

import keras
import numpy as np

import keras_softmaxes as ks

CLASSES, FEATURES, ROWS = 64, 6, 16
MANY = ks.layers.ManyClasses
HEADS = {
    name: (kind, {"dense": False} if kind is MANY else {}, None)
    for name, kind in vars(ks.layers).items()
    if inspect.isclass(kind) and issubclass(kind, ks.layers.Head) and kind is not ks.layers.Head
}
HEADS |= {
    "all logits": (MANY, {"dense": True}, ks.losses.LargeMarginCrossentropy()),
    "drawn classes": (MANY, {"sampled": 32, "seed": 1}, None),
    "large margin": (MANY, {"dense": False}, ks.losses.LargeMarginCrossentropy()),
    "hinge": (MANY, {"dense": False}, ks.losses.MeanMulticlassHinge()),
    "sparsemax": (MANY, {"dense": False}, ks.losses.SparsemaxLoss()),
}


def main():
    found = {}
    for name, case in HEADS.items():
        one = train(*case)
        with by_classes(one.head).scope():
            eight = train(*case)
        pairs = zip(one.get_weights(), eight.get_weights(), strict=True)
        differences = [np.abs(a - b).max() for a, b in pairs]
        differences.append(abs(one.last_loss / eight.last_loss - 1))
        found[name] = {"difference": float(max(differences)), "share": largest_share(eight)}
    print(json.dumps(found))


def train(kind, settings, loss):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    has_several = kind is ks.layers.PairedGSoftmax
    y = rng.integers(0, 2, (ROWS, CLASSES)) if has_several else rng.integers(0, CLASSES, ROWS)
    network = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(FEATURES, "tanh")])
    model = ks.models.Classifier(network, kind(CLASSES, name="head", **settings))
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.last_loss = model.fit(x, y, epochs=3, verbose=0).history["loss"][-1]
    return model


def by_classes(head):
    """Return the distribution that splits each variable along the axis of its classes."""
    mesh = keras.distribution.DeviceMesh((1, 8), ("batch", "classes"))
    layout = keras.distribution.LayoutMap(mesh)
    for variable in filter(has_classes, head.variables):
        axes = ("classes" if size == CLASSES else None for size in variable.shape)
        layout[variable.path] = tuple(axes)
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


def has_classes(variable):
    return CLASSES in variable.shape


def largest_share(model):
    """Return which share of the head and of its states in the optimizer a device holds at most."""
    held = {}
    variables = [*model.head.variables, *model.optimizer.variables]
    tensors = [variable.value for variable in variables if has_classes(variable)]
    for shard in (shard for tensor in tensors for shard in tensor.addressable_shards):
        held[shard.device] = held.get(shard.device, 0) + shard.data.nbytes
    return max(held.values()) / sum(tensor.nbytes for tensor in tensors)


if __name__ == "__main__":
    main()
