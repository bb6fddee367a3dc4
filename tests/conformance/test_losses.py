"""What every loss that `keras_softmaxes.losses` exports must do."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops
from loss_cases import (
    BACKEND,
    CASES,
    CLASSES,
    COMMON,
    EACH,
    EACH_OF_CLASSES,
    EXPORTED,
    RNG,
    SIGNS,
    Everything,
    L,
    by_formula,
    by_hand,
    differentiated,
    forms_of,
    labels_of,
    make,
    names_of,
    needs_compiler,
    numpy,
    of_classes,
    outputs_of,
)
from numerics import MODES, execute

import keras_softmaxes as ks

REDUCTIONS = ["none", "sum", "sum_over_batch_size", "mean_with_sample_weight"]


def test_every_loss_has_a_case():
    assert set(CASES) == set(EXPORTED)


@EACH
def test_it_is_its_formula_whatever_executes_it(kind):
    labels, outputs = labels_of(kind, (6,)), outputs_of(kind, (6,))
    each = by_formula(kind, labels, outputs)
    loss = make(kind, reduction="sum")
    expected = differentiated(loss, labels, outputs)[1]
    for mode in MODES:
        value, gradients = differentiated(loss, labels, outputs, mode)
        assert value == pytest.approx(each.sum(), rel=1e-5)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected[name], atol=1e-6)


@EACH
def test_any_leading_shape_is_that_many_examples(kind):
    shape = (2, 1, 3)
    labels, outputs = labels_of(kind, shape), outputs_of(kind, shape)
    rows = {name: each.reshape(-1, CLASSES) for name, each in outputs.items()}
    flat = labels.reshape(-1) if of_classes(kind) else labels.reshape(-1, CLASSES)
    loss = make(kind, reduction="none")
    ours = numpy(loss(labels, outputs))
    np.testing.assert_allclose(ours.ravel(), numpy(loss(flat, rows)), rtol=1e-6)
    assert ours.shape == shape
    mean = float(make(kind)(labels, outputs))
    assert mean == pytest.approx(by_formula(kind, labels, outputs).mean(), rel=1e-5)


@EACH
def test_every_form_of_the_labels_gives_the_same_value(kind):
    for shape in ((6,), (2, 3)):
        labels, outputs = labels_of(kind, shape), outputs_of(kind, shape)
        values = {float(make(kind)(form, outputs)) for form in forms_of(kind, labels)}
        assert len(values) == 1


def unreadable(kind):
    """Return rows of labels in each form, every second one of which cannot be read."""
    if not of_classes(kind):
        return [np.array([[1, 0, 1], [0, 0.5, 0], [0, 0, 1], [2, 1, 1], [0, 1, 1], [0, 0, -1]])]
    integers = np.array([0, CLASSES, 2, -1, 1, 2**31 - 1])
    rows = [[1, 0, 0], [0.25, 0.5, 0.2], [0, 0, 1], [1, 1, 0], [0, 1, 0], [0, np.nan, 1]]
    return [integers, integers[:, None], np.array(rows, "float32")]


@EACH
def test_labels_that_cannot_be_read_raise(kind):
    outputs = outputs_of(kind, (1,))
    for rows in unreadable(kind):
        for wrong in (1, 3, 5):
            with pytest.raises(ValueError, match=r"`labels`.*(the classes|sum to 1|a 1 for each)"):
                make(kind)(rows[[wrong]], outputs)


@needs_compiler
@EACH
def test_labels_that_cannot_be_checked_make_nan_of_their_example_alone(kind):
    outputs = outputs_of(kind, (6,))
    loss = make(kind, reduction="none")
    for labels in unreadable(kind):
        losses = execute(lambda _, y=labels: loss(y, outputs), [np.zeros(1)], MODES[-1])
        np.testing.assert_array_equal(np.isnan(losses), [False, True] * 3)


@EACH
def test_labels_of_another_shape_or_type_raise(kind):
    labels, outputs = labels_of(kind, (6,)), outputs_of(kind, (6,))
    wrong = [labels[:3], labels[None], np.zeros((6, CLASSES + 1), "int32")]
    if of_classes(kind):
        wrong += [labels + 0.5, np.zeros((6, 2), "int32"), np.zeros((6, 2, 1), "bool")]
    for each in wrong:
        with pytest.raises(ValueError, match="`labels`"):
            make(kind)(each, outputs)


@pytest.mark.tensorflow
@EACH
def test_batches_that_differ_only_at_run_time_are_not_broadcast(kind):
    import tensorflow as tf

    labels, outputs = labels_of(kind, (1,)), outputs_of(kind, (4,))
    specs = [
        tf.TensorSpec((None, *labels.shape[1:]), tf.int32),
        {name: tf.TensorSpec((None, CLASSES)) for name in outputs},
    ]
    step = tf.function(make(kind), input_signature=specs)
    assert np.isfinite(step(np.repeat(labels, 4, axis=0).astype("int32"), outputs))
    with pytest.raises(tf.errors.InvalidArgumentError):
        step(labels.astype("int32"), outputs)


@pytest.mark.parametrize("ignore_class", [255, -1, 1])
@EACH_OF_CLASSES
def test_ignoring_a_class_is_dropping_its_examples(kind, ignore_class):
    labels, outputs = np.array([0, 1, 2, 0, 1, 2]), outputs_of(kind, (6,))
    kept = labels != 1
    rows = {name: each[kept] for name, each in outputs.items()}
    expected, without = differentiated(make(kind), labels[kept], rows)
    for each in outputs.values():
        each[~kept] = np.nan
    labels = np.where(kept, labels, ignore_class)
    for mode in MODES if ignore_class == 255 else MODES[:1]:
        loss = make(kind, ignore_class=ignore_class)
        value, gradients = differentiated(loss, labels, outputs, mode)
        assert value == pytest.approx(expected, rel=1e-6)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient[kept], without[name], atol=1e-6)
            assert not gradient[~kept].any()


@EACH_OF_CLASSES
def test_where_all_is_ignored_the_loss_and_its_gradient_are_0(kind):
    loss = make(kind, ignore_class=0)
    value, gradients = differentiated(loss, np.zeros(6, int), outputs_of(kind, (6,)))
    assert value == 0
    assert not any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@EACH
def test_weights_masks_and_ignored_classes_are_reduced_as_in_keras(kind, reduction):
    shape = (2, 3)
    labels, outputs = labels_of(kind, shape), outputs_of(kind, shape)
    losses = by_formula(kind, labels, outputs)
    ways = [({}, labels, np.ones(shape, bool))]
    if of_classes(kind):
        counted = np.array([[True, True, False], [False, True, True]])
        ways.append(({"ignore_class": 255}, np.where(counted, labels, 255), counted))
    for arguments, given, counted in ways:
        loss = make(kind, reduction=reduction, **arguments)
        for mask in (None, np.array([[True, False, True], [True, True, False]])):
            tensors = {name: padded(each, mask) for name, each in outputs.items()}
            for weights in WEIGHTS:
                along = weights if weights.ndim < 3 else weights[..., 0]
                along = along if along.ndim != 1 else along[:, None]
                along = np.broadcast_to(along, shape)
                is_counted = counted if mask is None else counted & mask
                expected = by_hand(losses, along, is_counted, reduction)
                for form in (weights, weights.tolist()):
                    ours = numpy(loss(given, tensors, sample_weight=form))
                    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


WEIGHTS = [
    np.array(weights, "float32")
    for weights in (
        2.0,
        [2.0, 0.5],
        [[2.0], [0.5]],
        [[2.0, 0.0, 0.5], [1.0, 3.0, 0.25]],
        [[[2.0], [0.0], [0.5]], [[1.0], [3.0], [0.25]]],
    )
]


def padded(values, mask):
    """Return a tensor that says, as Keras's layers do, which of its rows are no padding."""
    tensor = ops.convert_to_tensor(values)
    if mask is not None:
        tensor._keras_mask = ops.convert_to_tensor(mask)
    return tensor


@EACH
def test_weights_of_rows_may_have_an_axis_of_1(kind):
    labels, outputs = labels_of(kind, (3,)), outputs_of(kind, (3,))
    weights = np.array([2.0, 0.0, 0.5], "float32")
    expected = (by_formula(kind, labels, outputs) * weights).mean()
    for form in (weights, weights[:, None], weights.astype("float64"), weights.tolist()):
        ours = float(make(kind)(labels, outputs, sample_weight=form))
        assert ours == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "weights"),
    [
        ((2,), (2, 2)),
        ((2,), (3,)),
        ((2,), (1,)),
        ((2,), (1, 2)),
        ((2,), (2, 1, 1)),
        ((2, 3), (3,)),
        ((2, 3), (2, 2)),
        ((2, 3), (3, 2)),
        ((2, 3), (1, 3)),
        ((2, 3), (2, 3, 3)),
        ((3, 3), (3, 3, 3)),
    ],
)
@EACH
def test_weights_that_mean_nothing_raise(kind, shape, weights):
    message = r"`sample_weight`.*the losses.*of shape \(" + ", ".join(map(str, weights))
    with pytest.raises(ValueError, match=message):
        make(kind)(labels_of(kind, shape), outputs_of(kind, shape), np.ones(weights, "float32"))


@pytest.mark.parametrize(
    ("dtype", "argument"),
    [("float16", None), ("bfloat16", None), ("float32", None), ("float64", "float64")],
)
@EACH
def test_it_is_computed_in_the_type_asked_for_and_at_least_in_float32(kind, dtype, argument):
    if dtype == "float64" and BACKEND != "tensorflow":
        pytest.skip("Keras computes in 32 bits there")
    labels, outputs = labels_of(kind, (4,)), outputs_of(kind, (4,))
    tensors = {name: ops.convert_to_tensor(each, dtype=dtype) for name, each in outputs.items()}
    result = make(kind, reduction="none", dtype=argument)(labels, tensors)
    expected = "float64" if dtype == "float64" else "float32"
    assert keras.backend.standardize_dtype(result.dtype) == expected
    rounded = {name: numpy(ops.cast(each, expected)) for name, each in tensors.items()}
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(
        numpy(result), by_formula(kind, labels, rounded), rtol=tolerance, atol=tolerance / 10
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@EACH
def test_half_precision_asked_for_keeps_labels_and_sums_over_many_classes_exact(kind, dtype):
    """Keras would cast class 4,099 to 4,100 in float16, and 301 to 302 in bfloat16."""
    classes = 5000
    outputs = outputs_of(kind, (3,), classes)
    labels = np.array([301, 4099, 4098]) if of_classes(kind) else labels_of(kind, (3,), classes)
    result = make(kind, reduction="none", dtype=dtype)(labels, outputs)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    np.testing.assert_allclose(
        numpy(result), by_formula(kind, labels, outputs), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
@EACH
def test_value_and_gradient_are_finite_at_extremes(kind, dtype, extreme):
    labels = labels_of(kind, (40,), 300)
    outputs = {}
    for name in names_of(kind):
        values = RNG.choice([-extreme, 0, extreme], size=(40, 300))
        outputs[name] = SIGNS[name] * np.abs(values) if name in SIGNS else values
    for mode in {MODES[0], MODES[-1]} if dtype == "float32" else MODES[-1:]:
        loss = make(kind, dtype=dtype)
        value, gradients = differentiated(loss, labels, outputs, mode, dtype)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients.values())


@EACH
def test_no_rows_have_no_loss_and_no_gradient(kind):
    if BACKEND == "torch" and kind is L.SparsemaxLoss:
        pytest.skip("there Keras's maximum of no rows is a number")
    labels, outputs = labels_of(kind, (0,)), outputs_of(kind, (0,))
    assert make(kind, reduction="none")(labels, outputs).shape == (0,)
    value, gradients = differentiated(make(kind, reduction="sum"), labels, outputs)
    assert value == 0
    assert all(gradient.shape == (0, CLASSES) for gradient in gradients.values())


@EACH
def test_a_name_that_is_missing_raises_with_both_lists(kind):
    labels, outputs = labels_of(kind, (3,)), outputs_of(kind, (3,))
    reads = ", ".join(map(repr, make(kind).reads))
    for name in make(kind).reads:
        others = {each: value for each, value in outputs.items() if each != name}
        others["probabilities"] = outputs[name]
        returned = ", ".join(map(repr, others))
        message = f"`loss`.*returns {reads}, which `{kind.__name__}` reads.*returns {returned}$"
        with pytest.raises(ValueError, match=message):
            make(kind)(labels, others)


@EACH
def test_what_it_does_not_read_does_not_matter(kind):
    labels, outputs = labels_of(kind, (6,)), outputs_of(kind, (6,))
    others = {"others": np.full((7, 2), np.nan), "counts": np.zeros(6, int)}
    ours = float(make(kind)(labels, {**others, **outputs}))
    assert ours == float(make(kind)(labels, outputs))


@EACH
def test_a_plain_tensor_is_logits(kind):
    labels, outputs = labels_of(kind, (3,)), outputs_of(kind, (3,))
    if make(kind).reads == ("logits",):
        ours = float(make(kind)(labels, outputs["logits"]))
        assert ours == float(make(kind)(labels, {"logits": outputs["logits"]}))
    else:
        with pytest.raises(ValueError, match=f"`loss`.*`{kind.__name__}` reads.*returns 'logits'"):
            make(kind)(labels, outputs[make(kind).reads[0]])


@EACH
def test_tensors_of_unequal_or_wrong_shapes_raise(kind):
    labels, outputs = labels_of(kind, (3,)), outputs_of(kind, (3,))
    for name in make(kind).reads[1:]:
        with pytest.raises(ValueError, match=rf"`{name}`.*\(3, 3\) of `{make(kind).reads[0]}`"):
            make(kind)(labels, {**outputs, name: outputs[name][:, :2]})
    flat = {name: each[0] for name, each in outputs.items()}
    with pytest.raises(ValueError, match=rf"`{make(kind).reads[0]}`.*\(batch, ..., classes\)"):
        make(kind)(labels, flat)


def settings_of(kind):
    numbers = {"class_weight": [1.0, 2.0, 3.0], "logit_adjustment": [0.0, -1.0, 1.0]}
    of_all = {"ignore_class": 255, **numbers} if of_classes(kind) else {}
    return {**CASES[kind].given, **CASES[kind].settings, **of_all, **COMMON}


@EACH
def test_its_configuration_holds_every_argument(kind):
    settings = settings_of(kind)
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    assert {each.name for each in parameters} == set(settings)
    assert not [each.name for each in parameters if each.default == settings[each.name]]
    loss = kind(**settings)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is kind
    assert again.get_config() == loss.get_config()
    plain = {name: value for name, value in settings.items() if name not in CASES[kind].given}
    assert {name: getattr(again, name) for name in plain} == plain


def make_model(loss):
    model = ks.models.Classifier(keras.layers.Identity(), Everything(CLASSES))
    model(np.zeros((1, 4), "float32"))
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.optimizer.build(model.trainable_variables)
    return model


def problem(kind):
    return RNG.normal(size=(16, 4)).astype("float32"), labels_of(kind, (16,))


@EACH
def test_a_compiled_model_is_saved_with_it(kind, tmp_path):
    x, y = problem(kind)
    settings = {**settings_of(kind), "dtype": None}
    model = make_model(kind(**settings))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.loss) is kind
    assert again.loss.get_config() == model.loss.get_config()
    losses = [float(numpy(each.loss(y, each(x, training=True)))) for each in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
