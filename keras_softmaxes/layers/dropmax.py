"""The DropMax head."""

from typing import Any, Literal

import keras
from keras import ops

from keras_softmaxes.layers.head import StochasticHead
from keras_softmaxes.layers.relaxed_bernoulli import draw_log_mask
from keras_softmaxes.ops.checks import Tensor, check_positive, invalid
from keras_softmaxes.ops.dropmax import (
    dropmax_log_probabilities,
    posterior_logits,
    stack_evidence,
    unstack_evidence,
)
from keras_softmaxes.ops.masked import masked_logits
from keras_softmaxes.ops.precision import at_least_float32


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class DropMax(StochasticHead):
    """Softmax that drops classes by probabilities learned for each example.

    Replaces the last `Dense(classes)` of a classifier. From features h it computes

        o = W h + b                     logits
        rho = sigm(a),  a = W' h + b'   retain probabilities of the classes (Eq. 4)
        r = W'' h + b''                 shift of the posterior (Eq. 10)

    In training a relaxed mask z is drawn for all classes with the posterior probabilities
    sigm(stop_gradient(a) + r), without the label; `keras_softmaxes.losses.DropMaxLoss` then keeps
    the target's class. At inference nothing is drawn: the class probabilities are the softmax of
    o + log rho (Eq. 15). `keras_softmaxes.models.monte_carlo` averages draws instead (Eq. 14).

    Regularisers act on the logits' branch alone: the method replaces the weight decay of the other
    two by an entropy term.

    Args:
        units: the number of classes K, at least 2.
        temperature: relaxation of the mask, above 0. The paper uses 0.1.
        posterior: "label" for DropMax, whose posterior has its own branch and learns from the
            label, or "prior" for the paper's q = p variant, which draws from rho and has no shift.
        seed: integer that fixes the draws; None takes it from `keras.utils.set_random_seed`.
        kernel_initializer: initialiser of the kernels. Each branch draws its own, unless you pass
            an initialiser with a seed: then all three start alike.
        bias_initializer: initialiser of the biases, likewise.
        kernel_regularizer: regulariser of the logits' kernel.
        bias_regularizer: regulariser of the logits' bias.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, features).

    Output:
        A dict: "probabilities", (batch, K), and "evidence", (batch, 4, K) or, for
        posterior="prior", (batch, 3, K). Both are float32 or float64.

    Raises:
        ValueError: units that are not an integer of at least 2, a temperature that is not a finite
            number above 0, an unknown posterior, or features that are not of rank 2.

    Example:
        >>> import keras_softmaxes as ks
        >>> inputs = keras.Input((64,))
        >>> features = keras.layers.Dense(32, activation="relu")(inputs)
        >>> model = ks.models.Classifier(inputs, ks.layers.DropMax(10)(features))
        >>> model.compile("adam", loss=ks.losses.DropMaxLoss(), metrics=["accuracy"])

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018
        (https://arxiv.org/abs/1712.07834).
    """

    def __init__(
        self,
        units: int,
        temperature: float = 0.1,
        posterior: Literal["label", "prior"] = "label",
        seed: int | None = None,
        *,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            seed,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            **kwargs,
        )
        check_positive("temperature", temperature)
        if posterior not in ("label", "prior"):
            raise invalid("posterior", "'label' or 'prior'", repr(posterior))
        self.temperature = temperature
        self.posterior = posterior
        self.retain = self.branch("retain")
        self.shift = self.branch("shift") if posterior == "label" else None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the variables of the two or three branches."""
        super().build(input_shape)
        for branch in filter(None, (self.retain, self.shift)):
            branch.build(input_shape)

    def call(self, features: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the class probabilities and the evidence for `DropMaxLoss`."""
        logits = at_least_float32(self.logits(features))
        retain_logits = at_least_float32(self.retain(features))
        shift = at_least_float32(self.shift(features)) if self.shift else None
        if training:
            posterior = posterior_logits(retain_logits, shift)
            log_mask = draw_log_mask(posterior, self.temperature, self.seed_generator)
        else:
            log_mask = ops.log_sigmoid(retain_logits)
        return {
            "probabilities": ops.exp(dropmax_log_probabilities(logits, retain_logits)),
            "evidence": stack_evidence(logits, retain_logits, shift, log_mask),
        }

    def retain_probabilities(self, features: Tensor) -> Tensor:
        """Return rho of Eq. 4, the probability with which each class is retained.

        Args:
            features: (batch, features), as the layer takes them.

        Returns:
            (batch, K).
        """
        return ops.sigmoid(at_least_float32(self.retain(features)))

    def posterior_probabilities(self, features: Tensor) -> Tensor:
        """Return g of Eq. 10, the posterior's retain probabilities of the non-target classes.

        Args:
            features: (batch, features), as the layer takes them.

        Returns:
            (batch, K). With posterior="prior" these are the retain probabilities.
        """
        retain_logits = at_least_float32(self.retain(features))
        shift = at_least_float32(self.shift(features)) if self.shift else None
        return ops.sigmoid(posterior_logits(retain_logits, shift))

    def sample_probabilities(
        self, evidence: Tensor, generator: keras.random.SeedGenerator
    ) -> Tensor:
        """Draw a mask from the prior rho and return the class probabilities it leaves (Eq. 14).

        Args:
            evidence: what the layer returned at inference, (batch, rows, K).
            generator: state of the random numbers; it advances by one draw.

        Returns:
            (batch, K).
        """
        logits, retain_logits, _, _ = unstack_evidence(evidence)
        log_mask = draw_log_mask(retain_logits, self.temperature, generator)
        return ops.softmax(masked_logits(logits, log_mask), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "posterior": self.posterior,
        }
