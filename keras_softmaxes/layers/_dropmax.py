"""The DropMax head."""

from typing import TYPE_CHECKING, Literal, Unpack

import keras
from keras import ops

from ..ops._class_masking import masked_logits
from ..ops._dropmax import dropmax_log_probabilities, posterior_logits
from ..support._arguments import Tensor, check_choice, check_positive
from ..support._configuration import serializable
from ..support._options import Initializer, LinearOptions
from ..support._tensors import at_least_float32
from ._class_masking import log_mask_of, uniform_like
from ._head import StochasticHead
from ._random import draw_log_mask

if TYPE_CHECKING:
    from ..losses import DropMaxLoss


@serializable
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

    Regularisers act on the logits' branch only. For the other two branches the method has an
    entropy term in place of weight decay.

    Args:
        units: the number of classes K, at least 2.
        temperature: relaxation of the mask, above 0. The paper uses 0.1.
        posterior: "label" for DropMax, whose posterior has its own branch and learns from the
            label, or "prior" for the paper's q = p variant, which draws from rho and has no shift.
        seed: integer that fixes the draws; None takes it from `keras.utils.set_random_seed`.
        branch_initializer: initialiser of the kernels of a and r. Each draws its own, unless you
            pass an initialiser with a seed: then both start alike.
        kernel_initializer: initialiser of the logits' kernel. The authors' code initialises it like
            those of the branches.
        bias_initializer: initialiser of the biases of all three.
        kernel_regularizer: regulariser of the logits' kernel.
        bias_regularizer: regulariser of the logits' bias.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of (..., K) tensors, float32 or float64: "probabilities", "logits" o, "retain_logits"
        a, "log_mask" log z (in training; else log rho) and, but for posterior="prior",
        "posterior_shift" r.

    Raises:
        ValueError: units that are not an integer of at least 2, a temperature that is not a finite
            number above 0, an unknown posterior, or features of rank 1.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.DropMax(10))
        >>> model.compile("adam", metrics=["accuracy"])  # trains by `DropMaxLoss`

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
        branch_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[LinearOptions],
    ) -> None:
        super().__init__(units, seed, **kwargs)
        self.temperature = check_positive("temperature", temperature)
        self.posterior = check_choice("posterior", posterior, ("label", "prior"))
        self.branch_initializer = keras.initializers.get(branch_initializer)
        self.retain = self.branch("retain", self.branch_initializer)
        is_shifted = posterior == "label"
        self.shift = self.branch("shift", self.branch_initializer) if is_shifted else None

    def call(self, features: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the class probabilities, and what `DropMaxLoss` reads."""
        logits = at_least_float32(self.logits(features))
        retain_logits = at_least_float32(self.retain(features))
        shift = at_least_float32(self.shift(features)) if self.shift else None
        if training:
            posterior = posterior_logits(retain_logits, shift)
            log_mask = draw_log_mask(posterior, self.temperature, self.seed_generator)
        else:
            log_mask = ops.log_sigmoid(retain_logits)
        outputs = {
            "probabilities": ops.exp(dropmax_log_probabilities(logits, retain_logits)),
            "logits": logits,
            "retain_logits": retain_logits,
            "log_mask": log_mask,
        }
        return outputs if shift is None else {**outputs, "posterior_shift": shift}

    def default_loss(self) -> "DropMaxLoss":
        """Return `keras_softmaxes.losses.DropMaxLoss`."""
        from ..losses import DropMaxLoss  # which stands above the layers

        return DropMaxLoss()

    def retain_probabilities(self, features: Tensor) -> Tensor:
        """Return rho of Eq. 4, the probability with which each class is retained.

        Args:
            features: (..., features), as the layer takes them.

        Returns:
            (..., K).
        """
        return ops.sigmoid(at_least_float32(self.retain(features)))

    def posterior_probabilities(self, features: Tensor) -> Tensor:
        """Return g of Eq. 10, the posterior's retain probabilities of the non-target classes.

        Args:
            features: (..., features), as the layer takes them.

        Returns:
            (..., K). With posterior="prior" these are the retain probabilities.
        """
        retain_logits = at_least_float32(self.retain(features))
        shift = at_least_float32(self.shift(features)) if self.shift else None
        return ops.sigmoid(posterior_logits(retain_logits, shift))

    def sample_probabilities(
        self, outputs: dict[str, Tensor], generator: keras.random.SeedGenerator
    ) -> Tensor:
        """Draw a mask from the prior rho and return the class probabilities it leaves (Eq. 14).

        Args:
            outputs: what the layer returned at inference.
            generator: state of the random numbers; it advances by one draw.

        Returns:
            (..., K).
        """
        logits, retain = outputs["logits"], ops.sigmoid(outputs["retain_logits"])
        kept = uniform_like(logits, generator) < retain  # binary: the relaxation is for gradients
        return ops.softmax(masked_logits(logits, log_mask_of(kept, logits)), axis=-1)
