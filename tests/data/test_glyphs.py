"""Characters as bitmaps."""

import numpy as np
import pytest

from tests.data.test_vectors import find
from transferlab.data.pictures import _glyphs
from transferlab.errors import UserError


def test_alike_characters_have_alike_bitmaps():
    o, zero, one, i = (_glyphs.glyph(c) for c in "O01I")
    assert o.shape == (7, 7) and o.min() >= 0 and o.max() <= 1
    assert np.linalg.norm(o - zero) < np.linalg.norm(o - one)
    assert np.linalg.norm(i - one) < np.linalg.norm(i - zero)
    assert o[3, 3] < 0.2 < o[1].max() and o[0].max() == 0  # a ring, with an edge around it


def test_a_class_is_its_upper_and_its_lower_case():
    both = _glyphs.bitmaps(("A", "7"))
    assert both.shape == (2, 98) and both.dtype == np.float32
    assert np.array_equal(both[0], np.concatenate([_glyphs.glyph("A").ravel(), _glyphs.glyph("a").ravel()]))
    assert np.array_equal(both[1, :49], both[1, 49:])


@pytest.mark.parametrize("name", ["mnist", "emnist_letters", "usps"])
def test_sets_of_characters_describe_their_classes(name, no_data, tmp_path):
    found = find(name, tmp_path, classes=None)
    assert found.signature_size == found.load("test").signatures.shape[1] == 98


def test_a_class_whose_signature_is_empty_is_refused(tmp_path, no_data):
    path = tmp_path / "own.npz"
    np.savez(path, features=np.ones((4, 2)), labels=[0, 0, 1, 1], signatures=[[1.0, 2.0], [0.0, 0.0]])
    with pytest.raises(UserError, match="class 1 has no signature"):
        find("features", tmp_path, path=str(path), signatures="signatures")
