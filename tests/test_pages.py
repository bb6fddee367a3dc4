"""The numbers that the pages of docs/ print are those of the JSON files beside them."""

import json
import re
from itertools import chain

import numpy as np
import pytest
from conftest import ROOT
from intervals import Interval, mean_interval, ratio_interval

DOCS = ROOT / "docs"
RESULTS = DOCS / "results"

# Intervals of runs of which no file is kept; the pages say so.
NOT_KEPT = {"3.00, 3.22", "0.559, 0.674", "1.27, 1.50"}


def read(path):
    return json.loads((RESULTS / path).read_text())


def table(page, number):
    """Return a table's rows of cells, without its head, links and bold type."""
    text = (RESULTS / page / "README.md").read_text()
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text.replace("**", ""))
    lines = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)[number].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def methods(path, names=None):
    """Return the mean of each method and, but for the first, its ratio to the first."""
    rows = read(path)["methods"]
    errors = {name: rows[name]["test_errors"] for name in names or rows}
    return compared(errors, {name: row["mean"] for name, row in rows.items()})


def compared(errors, means=None):
    """Return the same as it is printed, of test errors; JSON files hold the means too."""
    reference = next(iter(errors.values()))
    rows = []
    for name, values in errors.items():
        mean, ratio = mean_interval(values), ratio_interval(values, reference)
        assert means is None or mean.plain() == means[name], name
        rows.append([mean.describe(), *([ratio.describe(3)] if rows else [])])
    return rows


def along(path, *names):
    """Return the means and ratios of some methods as one row."""
    return list(chain.from_iterable(methods(path, names)))


def lsoftmax_by_epochs():
    """Return the errors and the ratio of seed 0, trained for 10, 20 and 40 epochs."""
    for name in ("10-epochs", "lsoftmax", "40-epochs"):
        rows = read(f"many_classes/omniglot_964x28-{name}/results.json")["methods"]
        softmax, ours = (rows[each]["test_errors"][0] for each in ("softmax_zeros", "lsoftmax"))
        yield [f"{softmax:.2f}", f"{ours:.2f}", f"{ours / softmax:.3f}"]


def grid():
    for cell in read("many_classes/grid/results.json")["cells"]:
        errors = [f"{np.mean(values):.2f}" for values in cell["test_errors"].values()]
        yield [str(cell["classes"]), str(cell["images"]), *errors, f"{cell['ratio']:.2f}"]


def large_margin(experiment, more=""):
    folder = f"large_margin/tiny_imagenet_100x32-{experiment}{more}"
    shares = read(f"{folder}/{experiment}.json")["shares"]
    for rows in shares.values():
        errors = {name: row["test_errors"] for name, row in rows.items()}
        means = {name: row["mean"] for name, row in rows.items()}
        trained = [f"{np.mean(row['train_errors']):.1f}" for row in rows.values()]
        for row, error in zip(compared(errors, means), trained, strict=True):
            yield [*row, error] if experiment == "noise" else row


def several_labels():
    """Return mAP, gain, C-F1 and O-F1 of each method, of scene and then of yeast."""
    scene, yeast = (read(f"gsoftmax/{name}/results.json")["methods"] for name in ("scene", "yeast"))
    for name in scene:
        row = []
        for found in (scene[name], yeast[name]):
            if "gain in mAP" in found:
                gain = Interval(**found["gain in mAP"])
                row += [f"{found['mAP']['estimate']:.2f}", gain.describe()]
            else:
                row += [Interval(**found["mAP"]).describe()]
            row += [f"{found[score]['estimate']:.1f}" for score in ("C-F1", "O-F1")]
        yield row


def label_means():
    """Return what is measured of labels without and with the Gaussian term (Fig. 8)."""
    found = [read(f"gsoftmax/{each}/results.json")["methods"] for each in ("scene", "yeast")]
    for name in ("pair", "pair_0_1"):
        measures = ("compactness", "separability", "ratio")
        yield [f"{np.mean(each[name][measure]):.2f}" for each in found for measure in measures]


def significances():
    """Return the p-values of Table V."""
    name = "p-value of the paired t-test against the baseline"
    scene, yeast = (
        read(f"gsoftmax/{dataset}/results.json")["analysis"][name] for dataset in ("scene", "yeast")
    )
    return [[f"{scene[each]:.4f}", f"{yeast[each]:.4f}"] for each in scene]


def correlations():
    """Return Pearson's coefficients and their p-values of Table VI."""
    for source in ("measured", "learned"):
        name = f"correlation with average precision, {source}"
        found = [
            read(f"gsoftmax/{each}/results.json")["analysis"][name] for each in ("scene", "yeast")
        ]
        for measure in found[0]:
            cells = (
                [f"{each[measure]['Pearson']:.2f}", f"{each[measure]['p-value']:.3f}"]
                for each in found
            )
            yield list(chain.from_iterable(cells))


def sparsity():
    columns = {"reconstruction_error": 4, "mean_activation": 3, "active": 3, "dead_units": 3}
    for runs in read("adversarial_dropout/sparsity/results.json")["autoencoders"].values():
        yield [
            mean_interval([run[name] for run in runs]).describe(digits)
            for name, digits in columns.items()
        ]


def holdout_errors():
    found = read("dropmax_table/1000/search.json")["holdout_errors"]
    for name in ("class_sampling", "class_dropout", "dropmax_prior"):
        errors = [np.mean(values) for key, values in found.items() if key.startswith(name)]
        yield [", ".join(f"{error:.2f}" for error in errors)]


def uncertainty(dataset):
    """Return what each output is worth, and with a temperature, and its ratios to softmax."""
    outputs = read(f"uncertainty/{dataset}/results.json")["outputs"]
    for name, forms in outputs.items():
        raw, calibrated = forms["raw"], forms["temperature"]
        row = [mean_of(raw, "test_error", 2)]
        for measure in ("negative_log_likelihood", "calibration_error"):
            row += [mean_of(each, measure, 3) for each in (raw, calibrated)]
            if measure.startswith("negative") and name != "softmax":
                row.append(ratio_of(outputs, name, measure))
        row.append(mean_of(calibrated, "aurc", 4))
        if name != "softmax":
            row.append(ratio_of(outputs, name, "aurc"))
        yield [*row, mean_of(calibrated, "temperature", 2)]


def margins():
    """Return the large margin's ratios to softmax, each with its temperature, by dataset."""
    for dataset in ("digits", "mnist", "fashion_mnist", "tiny_imagenet_100x32"):
        outputs = read(f"uncertainty/{dataset}/results.json")["outputs"]
        measures = ("negative_log_likelihood", "aurc")
        yield [ratio_of(outputs, "large_margin", measure) for measure in measures]


def outliers(dataset):
    """Return how well each output tells images of another dataset, and with a temperature."""
    for forms in read(f"uncertainty/{dataset}/results.json")["outputs"].values():
        yield [
            mean_of(forms[form], measure, 3)
            for measure in ("auroc", "fpr_95")
            for form in ("raw", "temperature")
        ]


def mean_of(form, measure, digits):
    mean = mean_interval(form[measure]["values"])
    assert mean.estimate == pytest.approx(form[measure]["mean"]["estimate"], abs=1e-5)
    return f"{mean.estimate:.{digits}f}"


def ratio_of(outputs, name, measure):
    """Return the ratio to softmax, each with its temperature."""
    ours, theirs = (outputs[each]["temperature"][measure] for each in (name, "softmax"))
    ratio = ratio_interval(ours["values"], theirs["values"])
    assert ratio.estimate == pytest.approx(ours["ratio_to_softmax"]["estimate"], abs=1e-3)
    return Interval(**ours["ratio_to_softmax"]).describe(3)


def starts():
    """Return the error and the ratio of each setting, and its measures on both sets of images."""
    path = "gsoftmax/tiny_imagenet_starts/results.json"
    for row, printed in zip(read(path)["methods"].values(), methods(path), strict=True):
        yield [*printed, *(f"{value:.2f}" for value in row["measures"].values())]


def gram_matrices():
    for row in read("large_margin/gram_matrix/results.json")["methods"].values():
        error = [f"{row['test_error']:.2f}"] if "test_error" in row else []
        deviations = (row["length_deviation"], row["cosine_deviation"])
        yield [*error, f"{row['asymmetry']:.2f}", *(f"{each:.3f}" for each in deviations)]


TABLES = {
    ("compare", 0): lambda: [
        along(f"compare/{name}/results.json", "softmax", "dropmax", "dropmax_prior")
        for name in ("mnist-1000", "digits-1000", "digits-1000-long", "digits-300")
    ],
    ("compare", 1): lambda: methods("compare/digits-1000/results.json"),
    ("compare", 2): lambda: methods("compare/demo/results.json"),
    ("dropmax_mnist", 0): lambda: [
        along(f"dropmax_mnist/{size}/results.json", "softmax", "dropmax")
        for size in (1000, 5000, 60000)
    ],
    ("dropmax_table", 0): lambda: methods("dropmax_table/1000/results.json"),
    ("dropmax_table", 1): lambda: methods("dropmax_table/5000/results.json"),
    ("dropmax_table", 2): lambda: list(holdout_errors()),
    ("decision_boundaries", 0): lambda: compared(
        read("decision_boundaries/decision_boundaries.json")["test_errors"]
    ),
    ("adversarial_dropout", 0): lambda: [
        along(f"adversarial_dropout/{steps}/results.json", "plain", "vadd")
        for steps in (5000, 12000)
    ],
    ("adversarial_dropout", 1): lambda: [
        along("adversarial_dropout/8000/results.json", "plain", "vadd_entropy")
    ],
    ("adversarial_dropout", 2): lambda: methods("adversarial_dropout/5000-rivals/results.json"),
    ("adversarial_dropout", 4): lambda: list(sparsity()),
    ("uncertainty", 0): lambda: list(uncertainty("digits")),
    ("uncertainty", 1): lambda: list(uncertainty("mnist")),
    ("uncertainty", 2): lambda: list(uncertainty("fashion_mnist")),
    ("uncertainty", 3): lambda: list(uncertainty("tiny_imagenet_100x32")),
    ("uncertainty", 4): lambda: list(margins()),
    ("uncertainty", 5): lambda: list(outliers("mnist")),
    ("uncertainty", 6): lambda: list(outliers("fashion_mnist")),
    ("many_classes", 0): lambda: methods("many_classes/omniglot_964x28/results.json"),
    ("many_classes", 1): lambda: methods("many_classes/omniglot_964x28-rivals/results.json"),
    ("many_classes", 2): lambda: methods("many_classes/omniglot_964x28-near/results.json"),
    ("many_classes", 3): lambda: methods("many_classes/omniglot_964x28-lsoftmax/results.json"),
    ("many_classes", 4): lambda: list(lsoftmax_by_epochs()),
    ("many_classes", 5): lambda: methods("many_classes/tiny_imagenet_100x32/results.json"),
    ("many_classes", 6): lambda: methods("many_classes/validation/results.json"),
    ("many_classes", 7): lambda: list(grid()),
    ("gsoftmax", 0): lambda: list(several_labels()),
    ("gsoftmax", 1): significances,
    ("gsoftmax", 2): lambda: list(label_means()),
    ("gsoftmax", 3): lambda: list(correlations()),
    ("gsoftmax", 4): lambda: methods("gsoftmax/fashion_mnist/results.json"),
    ("gsoftmax", 5): lambda: list(starts()),
    ("large_margin", 0): lambda: list(large_margin("noise")),
    ("large_margin", 1): lambda: list(large_margin("noise", "-shares")),
    ("large_margin", 2): lambda: list(large_margin("ablation")),
    ("large_margin", 3): lambda: list(large_margin("samples")),
    ("large_margin", 4): lambda: list(large_margin("samples", "-shares")),
    ("large_margin", 5): lambda: list(gram_matrices()),
}


@pytest.mark.parametrize(("page", "number"), TABLES)
def test_a_table_prints_its_results(page, number):
    printed, expected = table(page, number), TABLES[page, number]()
    assert len(printed) == len(expected)
    for cells, numbers in zip(printed, expected, strict=True):
        among = iter(cells)  # in this order, other cells between them
        assert all(number in among for number in numbers), f"{cells} does not print {numbers}"


def intervals():
    """Return every interval of docs/results, as the JSON files have it or as tables compute it."""
    found = []

    def keep(item):
        if item.get("low") is not None:
            found.append((item["low"], item["high"]))
        return item

    for path in RESULTS.rglob("*.json"):
        json.loads(path.read_text(), object_hook=keep)
    computed = (cell for make in TABLES.values() for row in make() for cell in row)
    brackets = (re.search(r"\[(.*), (.*)\]", cell) for cell in computed)
    return found + [tuple(map(float, each.groups())) for each in brackets if each]


def test_every_interval_on_the_pages_is_one_of_a_result():
    known = intervals()
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
        for bounds in re.findall(r"\[(-?\d+\.\d+, -?\d+\.\d+)\]", text):
            digits = len(bounds.split(".")[-1])
            printed = (f"{low:.{digits}f}, {high:.{digits}f}" for low, high in known)
            assert bounds in NOT_KEPT or bounds in printed, f"{page}: [{bounds}]"


def test_the_regularisation_page_prints_its_differences():
    differences = read("regularization/results.json")["differences"].values()
    for cells, difference in zip(table("regularization", 0), differences, strict=True):
        printed = re.match(r"[\d.e-]*\d", cells[1])[0]
        assert float(printed) == float(f"{difference:.1e}")
