"""What a type checker knows of the public names; `make check` reads this file, nothing runs it.

A wrong argument is an error in each line that ignores one: mypy warns where it is none.
"""

from typing import assert_type

import keras
import numpy as np

import keras_softmaxes as ks
from keras_softmaxes.support._arguments import Tensor

Outputs = dict[str, Tensor]
Arrays = dict[str, np.ndarray]


def heads(network: keras.Model, x: Tensor) -> None:
    head = ks.layers.DropMax(10, posterior="prior", kernel_initializer="zeros", name="head")
    assert_type(head, ks.layers.DropMax)
    assert_type(head.units, int)
    assert_type(head.temperature, float)
    assert_type(head.seed, int | None)
    assert_type(head(x), Outputs)
    assert_type(head.call(x), Outputs)
    assert_type(head.default_loss(), ks.losses.DropMaxLoss)
    assert_type(head.first(head(x), k=3), Outputs)
    assert_type(ks.layers.ClassAttention(10).default_loss(), ks.losses.AttentionCrossentropy)
    assert_type(ks.layers.ClassDropout(10).retain, float)
    assert_type(ks.layers.ClassSampling(10).default_loss(), ks.losses.MaskedCrossentropy)
    assert_type(ks.layers.GaussianMixture(10).default_loss(), ks.losses.GaussianMixtureLoss)
    assert_type(ks.layers.LSoftmax(10).default_loss(), ks.losses.LSoftmaxLoss)
    assert_type(ks.layers.LSoftmax(10).margin, int)
    assert_type(ks.layers.ManyClasses(10).default_loss(), ks.losses.LargeMarginCrossentropy)
    assert_type(ks.layers.ManyClasses(10).sampled, int | None)
    assert_type(ks.layers.PairedGSoftmax(10).default_loss(), ks.losses.PairedCrossentropy)
    assert_type(ks.layers.Sparsemax(10).default_loss(), ks.losses.SparsemaxLoss)
    assert_type(ks.layers.Sparsemax(10).temperature, float)
    ks.layers.DropMax("10")  # type: ignore[arg-type]
    ks.layers.DropMax(10, posterior="labels")  # type: ignore[arg-type]
    ks.layers.DropMax(10, kernel_regulariser="l2")  # type: ignore[call-arg]
    ks.layers.ClassDropout(10, bias_initializer=0.0)  # type: ignore[arg-type]
    ks.layers.ManyClasses(10, sampled_by="zipf")  # type: ignore[arg-type]
    ks.layers.PairedGSoftmax(10, form="sigmoid")  # type: ignore[arg-type]


def other_layers(layer: keras.layers.Layer, x: Tensor) -> None:
    assert_type(ks.layers.AdversarialDropout().budget, float)
    assert_type(ks.layers.GSoftmax(mean=[0.0, 1.0], stddev=np.ones(2)).scale, float)
    assert_type(ks.layers.NormConstraint(layer, 3.0).limit, float)
    assert_type(ks.layers.ParameterTying(layer, layer, 0.1).weight, float)
    assert_type(ks.layers.WeightNoise(layer, 0.1).stddev, float)
    ks.layers.AdversarialDropout(0.5, seed="0")  # type: ignore[arg-type]
    ks.layers.GSoftmax(mean="zeros")  # type: ignore[arg-type]
    ks.layers.NormConstraint(layer, 3.0, nme="norm")  # type: ignore[call-arg]


def losses() -> None:
    loss = ks.losses.LargeMarginCrossentropy(weight=0.3, ignore_class=-1, reduction="sum")
    assert_type(loss.reads, tuple[str, ...])
    assert_type(loss.weight, float)
    assert_type(loss.ignore_class, int | None)
    assert_type(loss.class_weight, list[float] | None)
    assert_type(ks.losses.AttentionCrossentropy().supervised, bool)
    assert_type(ks.losses.DropMaxLoss().entropy_weight, float)
    assert_type(ks.losses.GaussianMixtureLoss().margin, float | None)
    assert_type(ks.losses.WeightedSum([loss], [1.0]).losses, list[ks.losses.HeadLoss])
    ks.losses.DropMaxLoss(class_weight=np.ones(10), logit_adjustment=[0.1] * 10)
    ks.losses.LargeMarginCrossentropy(divergence="kl")  # type: ignore[arg-type]
    ks.losses.LargeMarginDivergence("kl")  # type: ignore[arg-type]
    ks.losses.MeanMulticlassHinge(weight=1.0)  # type: ignore[call-arg]
    ks.losses.DropMaxLoss(reduction="average")  # type: ignore[arg-type]
    ks.losses.SparsemaxLoss(ignore_clas=0)  # type: ignore[call-arg]
    ks.losses.WeightedSum([loss], 1.0)  # type: ignore[arg-type]
    ks.losses.PairedCrossentropy(class_weight=[1.0])  # type: ignore[call-arg]


def metrics() -> None:
    assert_type(ks.metrics.CalibrationError().bins, int)
    assert_type(ks.metrics.RiskCoverage("augrc").risk, float)
    assert_type(ks.metrics.TopKAccuracy(5).reads, tuple[str, str, str])
    assert_type(ks.metrics.MultiLabelF1("overall").threshold, float)
    ks.metrics.CalibrationError(norm="l0")  # type: ignore[arg-type]
    ks.metrics.MeanAveragePrecision(average="mean")  # type: ignore[arg-type]
    ks.metrics.MultiLabelPrecision(average="mean")  # type: ignore[arg-type]
    ks.metrics.MultiLabelRecall(average="mean")  # type: ignore[arg-type]
    ks.metrics.BrierScore(name=0)  # type: ignore[arg-type]
    ks.metrics.MarginBias(ignore_class="0")  # type: ignore[arg-type]
    ks.metrics.RiskCoverage("auc")  # type: ignore[arg-type]


def models(network: keras.Model, x: Tensor, y: Tensor) -> None:
    model = ks.models.Classifier(network, ks.layers.DropMax(10), name="classifier")
    assert_type(model, ks.models.Classifier)
    assert_type(model.head, ks.layers.Head)
    assert_type(model(x, training=True), Outputs)
    assert_type(model.outputs_spec, dict[str, keras.KerasTensor])
    model.compile("adam", ks.losses.DropMaxLoss(), metrics=["accuracy"], jit_compile=False)
    model.compile("adam", "crossentropy")  # type: ignore[arg-type]
    ks.models.Classifier(network, 10)  # type: ignore[arg-type]
    assert_type(ks.models.dropout_ensemble(model, x, "geometric"), Arrays)
    assert_type(ks.models.monte_carlo(model, x, 20), Arrays)
    assert_type(ks.models.top_k(model, x, 5), Arrays)
    found = ks.models.conformal_sets(model, x, (x, y))
    assert_type(found["sets"], np.ndarray)
    assert_type(found["threshold"], float)
    ks.models.calibrate(model, x, y, method="matrix")  # type: ignore[arg-type]
    ks.models.conformal_sets(model, x, (x, y), score="raps")  # type: ignore[arg-type]
    ks.models.dropout_ensemble(model, x, "mean")  # type: ignore[arg-type]


def perturbations(step: ks.perturbations.Step, outputs: Tensor) -> None:
    term = ks.perturbations.VirtualAdversarialDropout(ks.schedules.GaussianRampUp(1.0, 100))
    assert_type(term.name, str)
    assert_type(term.get_config()["name"], Tensor)
    assert_type(ks.perturbations.PiModel.from_config({}), ks.perturbations.PiModel)
    assert_type(ks.perturbations.AdversarialTraining(0.1).epsilon, float)
    assert_type(ks.perturbations.TemporalEnsembling(examples=100).classes, int | None)
    assert_type(step.mask, Tensor | None)
    ks.perturbations.SupervisedAdversarialDropout(nme="sad")  # type: ignore[call-arg]
    ks.perturbations.PiModel(divergence="l2")  # type: ignore[arg-type]
    ks.perturbations.VirtualAdversarialTraining(1.0, nme="vat")  # type: ignore[call-arg]


class MixedIn(ks.models.AdversarialDropoutMixin, keras.Model):
    pass


class PerturbedClassifier(ks.models.PerturbationMixin, ks.models.Classifier):
    pass


def mixin(model: MixedIn, classifier: PerturbedClassifier) -> None:
    classifier.compile("adam", ks.losses.DropMaxLoss(), metrics=["accuracy"], perturbations=[])
    assert_type(model.default_perturbations(), list[ks.perturbations.Perturbation])
    model.compile("adam", "mse", perturbations=[ks.perturbations.PiModel()])
    model.compile("adam", "mse", perturbations="pi")  # type: ignore[arg-type]


def functions(labels: Tensor, logits: Tensor, features: Tensor, kernel: Tensor) -> None:
    """Tensors have no type, so the wrong calls are what shows that a signature is known."""
    assert_type(ks.ops.gaussian_distances(features, kernel, kernel), tuple[Tensor, Tensor])
    assert_type(ks.ops.lsoftmax_logits(features, kernel), tuple[Tensor, Tensor])
    assert_type(ks.ops.linear_top_k(features, kernel, kernel, 5), tuple[Tensor, Tensor])
    assert_type(ks.ops.attention_terms(labels, logits, logits), Outputs)
    assert_type(ks.ops.dropmax_terms(labels, logits, logits, None, logits), Outputs)
    assert_type(ks.ops.gaussian_mixture_terms(labels, logits, logits), Outputs)
    assert_type(ks.ops.reliability(labels, logits, logits), Outputs)
    assert_type(ks.ops.risk_coverage(labels, logits, logits), Outputs)
    ks.ops.adversarial_mask(features, features, "0.1")  # type: ignore[arg-type]
    ks.ops.average_precision(labels, logits)  # type: ignore[call-arg]
    ks.ops.brier_score(labels)  # type: ignore[call-arg]
    ks.ops.compactness()  # type: ignore[call-arg]
    ks.ops.dropmax_log_mask(logits, logits, "0.1")  # type: ignore[arg-type]
    ks.ops.dropmax_log_probabilities(logits)  # type: ignore[call-arg]
    ks.ops.gaussian_cdf(logits)  # type: ignore[call-arg]
    ks.ops.linear_ranks(labels, features, kernel)  # type: ignore[call-arg]
    ks.ops.lsoftmax_cross_entropy(labels, logits)  # type: ignore[call-arg]
    ks.ops.margin_bias(labels)  # type: ignore[call-arg]
    ks.ops.masked_cross_entropy(labels, logits)  # type: ignore[call-arg]
    ks.ops.paired_cross_entropy(labels, logits)  # type: ignore[call-arg]
    ks.ops.sampled_cross_entropy(labels, features, kernel)  # type: ignore[call-arg]
    ks.ops.separability(logits)  # type: ignore[call-arg]
    ks.ops.separability_ratio(logits)  # type: ignore[call-arg]
    ks.ops.super_symmetric_projection()  # type: ignore[call-arg]
    ks.ops.sparsemax()  # type: ignore[call-arg]
    ks.ops.sparsemax_loss(logits)  # type: ignore[call-arg]
    ks.ops.mean_multiclass_hinge(logits)  # type: ignore[call-arg]
    ks.ops.gsoftmax_logits(logits, logits, logits, "1")  # type: ignore[arg-type]
    ks.ops.large_margin_divergence(labels, logits, "kl")  # type: ignore[arg-type]
    ks.ops.large_margin_cross_entropy(labels, logits, "0.3")  # type: ignore[arg-type]
    ks.ops.linear_cross_entropy(labels, features, kernel)  # type: ignore[call-arg]
    ks.datasets.semi_supervised(features, features, "32")  # type: ignore[arg-type]
    ks.constraints.SuperSymmetric()()  # type: ignore[call-arg]
    ks.optimizers.RowWiseAdam().update_step(kernel, kernel)  # type: ignore[call-arg]
    ks.schedules.MalleableLearningRate(0.1, 1000, [0.0])  # type: ignore[arg-type]
