import mulan
import numpy as np
import pytest

FLAT = '<label name="a"></label><label name="b"></label>'
ATTRIBUTES = ["x numeric", "z numeric", "a {0,1}", "b {0,1}"]
ROWS = ["1,5,0,1", "3,7,1,0"]


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a small dataset, of which any part may be another one."""

    def write(labels=FLAT, attributes=ATTRIBUTES, train=ROWS, test=ROWS, test_attributes=None):
        folder = tmp_path / "tiny"
        folder.mkdir()
        namespace = "http://mulan.sourceforge.net/labels"
        (folder / "tiny.xml").write_text(f'<labels xmlns="{namespace}">{labels}</labels>')
        for split, names, rows in (
            ("train", attributes, train),
            ("test", test_attributes or attributes, test),
        ):
            lines = ["@relation tiny", *(f"@attribute {name}" for name in names), "@data", *rows]
            (folder / f"tiny-{split}.arff").write_text("\n".join(lines) + "\n")
        return tmp_path

    return write


def message_of(data_dir):
    with pytest.raises(SystemExit) as error:
        mulan.load("tiny", data_dir)
    return str(error.value)


def test_labels_of_a_hierarchy_are_no_features(write):
    nested = '<label name="a"><label name="b"></label></label>'
    problem = mulan.load("tiny", write(labels=nested))
    assert problem.labels == ["a", "b"]
    np.testing.assert_array_equal(problem.y_train, [[0, 1], [1, 0]])
    np.testing.assert_allclose(problem.x_train, [[-1, -1], [1, 1]])  # x and z alone


def test_features_are_read_by_name_not_by_place(write):
    moved = ["b {0,1}", "z numeric", "a {0,1}", "x numeric"]
    data_dir = write(test_attributes=moved, test=["1,5,0,1", "0,7,1,3"])
    problem = mulan.load("tiny", data_dir)
    np.testing.assert_array_equal(problem.x_test, problem.x_train)
    np.testing.assert_array_equal(problem.y_test, problem.y_train)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("attributes", "rows", "name"),
    [
        (ATTRIBUTES, ["1,?,0,1", "3,7,1,0"], "'z' has no number in 1 of 2"),
        (["x numeric", "z {5,7}", *ATTRIBUTES[2:]], ["1,?,0,1", "3,7,1,0"], "'z'"),
        (["x numeric", "z {low,high}", *ATTRIBUTES[2:]], ["1,low,0,1", "3,high,1,0"], "'z'"),
        (ATTRIBUTES, ["1,5,0,?", "3,7,1,0"], "'b'"),
        ([*ATTRIBUTES[:3], "b numeric"], ["1,5,0,2", "3,7,1,0"], "'b' must be 0 or 1"),
        ([*ATTRIBUTES[:3], "c {0,1}"], ROWS, r"lacks the labels ['b']"),
        (["a {0,1}", "b {0,1}"], ["0,1", "1,0"], "features beside the labels"),
        (ATTRIBUTES, [], "must have examples"),
        (["x string", *ATTRIBUTES[1:]], ROWS, "cannot be read"),
        (ATTRIBUTES, ["{0 1, 3 1}"], "cannot be read"),
        (ATTRIBUTES, ["1,5,0"], "cannot be read"),
    ],
)
def test_a_bad_table_raises_with_file_and_attribute(write, split, attributes, rows, name):
    if split == "train":
        data_dir = write(attributes=attributes, test_attributes=ATTRIBUTES, train=rows)
    else:
        data_dir = write(test_attributes=attributes, test=rows)
    message = message_of(data_dir)
    assert f"tiny-{split}.arff" in message
    assert name in message


def test_unequal_features_raise(write):
    other = ["x numeric", "w numeric", *ATTRIBUTES[2:]]
    message = message_of(write(test_attributes=other))
    assert "tiny-train.arff" in message
    assert "tiny-test.arff" in message
    assert "['w', 'z']" in message


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("", "must name its labels"),
        ("<label></label>", "must name its labels"),
        (FLAT + '<label name="a"></label>', "each once"),
        ("<label", "cannot be read"),
    ],
)
def test_bad_labels_raise_with_their_file(write, labels, expected):
    message = message_of(write(labels=labels))
    assert "tiny.xml" in message
    assert expected in message


@pytest.mark.parametrize("name", ["tiny.xml", "tiny-train.arff", "tiny-test.arff"])
@pytest.mark.parametrize("content", [None, "", "nonsense"])
def test_a_file_that_is_missing_or_something_else_is_named(write, name, content):
    data_dir = write()
    path = data_dir / "tiny" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert name in message_of(data_dir)
