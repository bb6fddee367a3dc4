"""The head for several labels per example."""

from typing import TYPE_CHECKING, Literal, Unpack

from keras import ops

from ..support._arguments import Tensor, check_choice
from ..support._configuration import serializable
from ..support._options import BranchOptions, Initializer
from ._gsoftmax import GSoftmax, Start
from ._head import LinearHead

if TYPE_CHECKING:
    from ..losses import PairedCrossentropy


@serializable
class PairedGSoftmax(LinearHead):
    """G-softmax for several labels per example: evidence for and against each label.

    Replaces the last `Dense(labels)` of a classifier. From features h it computes, for each label,

        x+ = W h + b        a+ = x+ + lambda Phi(x+; mu+, sigma+)      evidence of presence
        x- = W' h + b'      a- = x- + lambda Phi(x-; mu-, sigma-)      evidence of absence

    and the probability of a label is p = sigm(a+ - a-). What trains them is
    `keras_softmaxes.losses.PairedCrossentropy`, on the evidence that the form makes of the pair:

        form "sigmoids"    a+ and a-              -log sigm(a+), -log sigm(a-): Eq. 15 at scale 0
        form "softmax"     a+ - a- and a- - a+    -log p, -log(1 - p): the authors' code

    where the first is paid by a label that is present, the second by one that is absent. The paper
    contradicts itself here: its Eq. 16 prints 1 - sigm(a-) for Eq. 15's sigm(a-), which turns the
    meaning of a- around and at scale 0 is not Eq. 15; its code does neither.

    In the first form a+ never sees an example without the label, so that nothing keeps sigm(a+)
    from 1: it is no probability, though the paper reads it as one. It is what Eq. 15 says, not what
    to take: on real data the second form is far better, and one number a label no worse
    (`keras_softmaxes.layers.GSoftmax` before `keras.losses.BinaryCrossentropy(from_logits=True)`,
    Eq. 14 with the Gaussian term).

    Args:
        units: the number of labels, at least 2.
        scale: lambda, at least 0. The paper's is 1.
        mean: the start of mu+ and mu-, a number or one for each label. The paper tries -0.1 to 0.1.
        stddev: the start of sigma+ and sigma-, at least 0.001, likewise. The paper tries 0.5 to 5.
        learn: whether mu and sigma are learned.
        form: "sigmoids" or "softmax".
        kernel_initializer: initialiser of the kernels. Each branch draws its own, unless you pass
            an initialiser with a seed: then both start alike.
        bias_initializer: initialiser of the biases, likewise.
        kernel_regularizer: regulariser of both kernels.
        bias_regularizer: regulariser of both biases.
        **kwargs: the arguments of every Keras layer.

    Attributes:
        positive: the `GSoftmax` of x+, with its `mean` and `stddev`.
        negative: that of x-.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of (..., labels) tensors, float32 or float64: "probabilities", and the pair
        "presence_logits" and "absence_logits" that the form makes of a+ and a-.

    Raises:
        ValueError: units that are not an integer of at least 2, another form, features of
            rank 1, or what `GSoftmax` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.PairedGSoftmax(6))
        >>> model.compile("adam", metrics=["binary_accuracy"])  # trains by `PairedCrossentropy`

    Reference:
        Luo et al., G-softmax: Improving Intra-class Compactness and Inter-class Separability of
        Features, IEEE TNNLS 2019, section III-B (https://arxiv.org/abs/1904.04317).
    """

    def __init__(
        self,
        units: int,
        scale: float = 1.0,
        mean: Start = 0.0,
        stddev: Start = 1.0,
        learn: bool = True,
        form: Literal["softmax", "sigmoids"] = "softmax",
        *,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[BranchOptions],
    ) -> None:
        super().__init__(units, kernel_initializer=kernel_initializer, **kwargs)
        self.form = check_choice("form", form, ("sigmoids", "softmax"))
        self.other_logits = self.branch("other_logits", self.kernel_initializer, True)
        self.positive, self.negative = (
            GSoftmax(scale, mean, stddev, learn, dtype=self.dtype_policy, name=name)
            for name in ("positive", "negative")
        )
        self.scale, self.learn = self.positive.scale, learn
        self.mean, self.stddev = self.positive.start["mean"], self.positive.start["stddev"]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the variables of the two branches."""
        super().build(input_shape)
        for gaussians in (self.positive, self.negative):
            gaussians.build((*input_shape[:-1], self.units))

    def call(self, features: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the label probabilities, and what `PairedCrossentropy` reads."""
        positive = self.positive(self.logits(features), training=training)
        negative = self.negative(self.other_logits(features), training=training)
        difference = positive - negative
        pair = (difference, -difference) if self.form == "softmax" else (positive, negative)
        return {
            "probabilities": ops.sigmoid(difference),
            "presence_logits": pair[0],
            "absence_logits": pair[1],
        }

    def default_loss(self) -> "PairedCrossentropy":
        """Return `keras_softmaxes.losses.PairedCrossentropy`."""
        from ..losses import PairedCrossentropy  # which stands above the layers

        return PairedCrossentropy()

    def adapt(self, features: Tensor) -> None:
        """Set mu and sigma to the moments of x+ and x-, as `GSoftmax.adapt` does.

        Args:
            features: (examples, features).

        Raises:
            ValueError: features of another shape, or that leave a label's logits all the same.
        """
        features = ops.convert_to_tensor(features, dtype=self.compute_dtype)
        if not self.built:
            self.build(tuple(features.shape))
        for branch, gaussians in ((self.logits, self.positive), (self.other_logits, self.negative)):
            gaussians.adapt(ops.convert_to_numpy(branch(features)))
