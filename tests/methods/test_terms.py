"""A method's own term changes what is learned: for every method, net and kind of input, or it is refused beforehand.

Two runs of the same seed differ in one option of the method, or in nothing but which labels the source's inputs have.
"""

import itertools
from typing import Any

import pytest

from tests.methods import tiny
from transferlab.errors import UserError
from transferlab.map import method_files, method_schema

SOURCE = "the source's labels"
"""In place of an option: what is learned from the source must reach the target's predictor."""

PCGRAD = {"weighting": "pcgrad"}


def first_layer(predictor):
    """The layer nearest the input: only a gradient that goes all the way moves it."""
    return predictor.net.layers[0][0].weight


def own_column(predictor):
    return predictor.columns[-1].net.head.weight


# For each method the options off and on, the classes alike or not, and the tensor that must come out another. The first
# of each is tried with every net.
TERMS: dict[str, list[tuple[Any, Any, bool, Any]]] = {
    "source_only": [(SOURCE, SOURCE, True, first_layer)],
    "target_only": [({"head": "softmax"}, {"head": "svm"}, True, lambda p: (p.head or p.net.head).weight)],
    "dann": [
        ({"largest_lambda": 0.0}, {}, True, first_layer), ({"critic_weight": 1e-30}, {}, True, first_layer),
        ({"gamma": 0.1}, {}, True, first_layer),
    ],
    "mcd": [({"weight": 0.0}, {}, True, first_layer), ({"generator_steps": 1}, {}, True, first_layer)],
    "mean_teacher": [
        ({"weight": 0.0}, {"weight": 100.0}, True, first_layer),
        ({"noise": 0.0}, {"noise": 0.5}, True, first_layer), ({"decay": 0.5}, {}, True, first_layer),
        ({"balance": 0.0}, {"balance": 10.0}, True, first_layer),
    ],
    "deep_coral": [({"weight": 0.0}, {"weight": 100.0}, True, first_layer)],
    "subspace_alignment": [
        ({"alignment": False}, {}, True, lambda p: p.maps["source"].weight), (SOURCE, SOURCE, True, first_layer),
    ],
    "prototypes": [
        ({"rounds": 0}, {}, True, lambda p: p.head.weight), (SOURCE, SOURCE, True, first_layer),
    ],
    "finetune": [
        (SOURCE, SOURCE, False, first_layer), ({"freeze": 1}, {}, False, first_layer),
        ({"trainable": "head"}, {}, False, first_layer),
    ],
    "conservative": [
        ({"old_weight": 0.0, "alpha": 0.0}, {"alpha": 1.0}, False, first_layer),
        ({"keep": "outputs", "rho": 0.0}, {"keep": "outputs"}, True, first_layer),
        ({"keep": "outputs", "old_weight": 0.0}, {"keep": "outputs"}, False, first_layer),
        ({"keep": "weights", "alpha": 0.0}, {"keep": "weights", "alpha": 1.0}, False, first_layer),
    ],
    "layer_transfer": [(SOURCE, SOURCE, False, first_layer), ({"layers": 0}, {"layers": 1}, False, first_layer)],
    "multitask": [
        (SOURCE, SOURCE, False, first_layer), ({"private": 1}, {}, False, lambda p: p.net.head.weight),
        ({}, {"weighting": "uncertainty"}, False, first_layer), ({}, PCGRAD, False, first_layer),
    ],
    "progressive": [
        (SOURCE, SOURCE, False, own_column), ({"first": "random"}, {}, False, own_column),
        ({"alpha": 0.1}, {}, False, own_column), ({"adapter": False}, {}, False, own_column),
    ],
    "self_taught": [
        ({"dictionary": "random"}, {}, False, lambda p: p.encoder.dictionary),
        ({"features": "raw"}, {}, False, lambda p: p.head.weight),
    ],
    "self_taught_clustering": [({"weight": 0.0}, {"weight": 100.0}, False, lambda p: p.head.weight)],
    "dap": [({"decay": [1.0]}, {}, False, lambda p: p.weight), (SOURCE, SOURCE, False, lambda p: p.weight)],
    "semantic_output_codes": [({"lam": [1000.0]}, {}, False, lambda p: p.weight)],
    "eszsl": [({"lam": [1000.0]}, {}, False, lambda p: p.weight)],
    "ale": [({"margin": [0.001]}, {}, False, lambda p: p.weight)],
    "devise": [({"margin": [0.001]}, {}, False, lambda p: p.weight)],
    "conse": [({"top": 1}, {}, False, lambda p: p.embed(p.bias.new_ones(5, len(p.weight))))],
    "zero_shot": [
        ({"loss": "l2"}, {}, False, lambda p: p.weight), ({"margin": [0.001]}, {}, False, lambda p: p.weight),
    ],
}  # fmt: skip
CASES = [
    (method, kind, net)
    for method in method_files()
    for kind, net in itertools.product(tiny.SHAPES, tiny.NETS if method_schema(method).sees.net else ["mlp"])
]


@pytest.mark.parametrize(("method", "kind", "net"), CASES)
def test_a_methods_own_term_changes_what_is_learned(tmp_path, method, kind, net):
    assert method in TERMS, "say which options turn the new method's own term off and on"
    takes = net == "mlp" or kind != "vectors"
    every = (kind, net) in (("images", "lenet"), ("vectors", "mlp"), ("spectrograms", "ganin_mnist"))
    for number, (off, on, same, part) in enumerate(TERMS[method] if every else TERMS[method][:1]):
        learned = []
        for which, options in (("off", off), ("on", on)):
            # Two tasks' gradients do not conflict in every step.
            asked = tiny.settings(method, {} if options is SOURCE else options, net, steps=8 if on == PCGRAD else 3)
            given = tiny.problem(method, kind, same, relabelled=options is SOURCE and which == "off")
            if not takes:
                with pytest.raises(UserError, match=f"model={net}: is for images, .*; use model=mlp$") as error:
                    tiny.refused(asked, kind, same)
                assert "\n" not in str(error.value)
                continue
            tiny.refused(asked, kind, same)
            learned.append(part(tiny.learn(tmp_path / f"{number} {which}", asked, given)[0]).detach())
        if takes:
            without, with_it = learned
            unlike = without.shape != with_it.shape
            # Beyond rounding, which another order of summation would change as well.
            assert unlike or (without - with_it).abs().max() > 1e-5 * with_it.abs().max(), (off, on)
