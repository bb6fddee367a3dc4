"""A small problem of four classes and the classifiers that learn it."""

import keras
import numpy as np

import keras_softmaxes as ks

CLASSES = 4


def make_problem():
    """Features whose largest of the first four coordinates is the label."""
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    return x, x[:, :CLASSES].argmax(axis=1)


def make_model(head=None, loss=None, network=None, **compile_arguments):
    """Return a classifier of the problem, DropMax's by default, trained by its head's own loss."""
    model = ks.models.Classifier(network or sequential(), head or ks.layers.DropMax(CLASSES))
    return compiled(model, loss, **compile_arguments)


def compiled(model, loss=None, **arguments):
    defaults = {"optimizer": keras.optimizers.Adam(0.05), "metrics": ["accuracy"]}
    model.compile(loss=loss, **{**defaults, **arguments})
    return model


def sequential():
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu")])


def random_operations(served):
    """Return the operations of a loaded SavedModel that draw random numbers."""
    graph = served.signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return [node.op for node in nodes if "random" in node.op.lower()]
