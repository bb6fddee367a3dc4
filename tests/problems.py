"""A small problem of four classes and the classifiers that learn it."""

import keras
import numpy as np

import keras_softmaxes as ks

CLASSES = 4


def make_problem():
    """Features whose largest of the first four coordinates is the label."""
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    return x, x[:, :CLASSES].argmax(axis=1)


def make_model(head=None, loss=None, **compile_arguments):
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    outputs = (head or ks.layers.DropMax(CLASSES))(hidden)
    return compiled(ks.models.Classifier(inputs, outputs), loss, **compile_arguments)


def make_subclassed():
    return compiled(Subclassed())


def make_derived():
    inputs = keras.Input((8,))
    return compiled(Derived(inputs, ks.layers.DropMax(CLASSES)(inputs)))


def compiled(model, loss=None, **arguments):
    defaults = {"optimizer": keras.optimizers.Adam(0.05), "metrics": ["accuracy"]}
    model.compile(loss=loss or ks.losses.DropMaxLoss(), **{**defaults, **arguments})
    return model


def random_operations(served):
    """Return the operations of a loaded SavedModel that draw random numbers."""
    graph = served.signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return [node.op for node in nodes if "random" in node.op.lower()]


class Subclassed(ks.models.Classifier):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(16, activation="relu")
        self.head = ks.layers.DropMax(CLASSES)

    def call(self, inputs, training=False):
        return self.head(self.hidden(inputs), training=training)


@keras.saving.register_keras_serializable("tests")
class Derived(ks.models.Classifier):
    """A class of the user's own that is used functionally."""

    def predict_twice(self, x):
        return 2 * self.predict(x, verbose=0)
