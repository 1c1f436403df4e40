import pytest
import torch

from tests.conftest import config, problem, run
from transferlab.map import LABELLED
from transferlab.methods.supervised_transfer import layer_transfer
from transferlab.methods.supervised_transfer.layer_transfer import Config


def fit(folder, **options):
    engine = run(folder, config("layer_transfer", steps=3))
    return layer_transfer.fit(Config(steps=2, **options), problem(LABELLED, LABELLED), engine)


def donor_layers(folder, stage, like):
    from safetensors.torch import load_file

    state = load_file(folder / "checkpoints" / f"stage-{stage}.safetensors")
    like.load_state_dict({k.removeprefix("net."): v for k, v in state.items()})
    return [layer[0].weight.clone() for layer in like.layers]


@pytest.mark.parametrize(("donor", "stage"), [("source", "source"), ("target", "first target net")])
@pytest.mark.parametrize(("end", "kept"), [("first", [0, 1]), ("last", [3, 4])])
def test_copied_layers_stay_and_the_rest_is_new(tmp_path, donor, stage, end, kept):
    net = fit(tmp_path, donor=donor, layers=2, end=end).net
    ours = [layer[0].weight.clone() for layer in net.layers]
    theirs = donor_layers(tmp_path, stage, net)
    same = [place for place, (a, b) in enumerate(zip(ours, theirs, strict=True)) if torch.equal(a, b)]
    assert same == kept


def test_plus_tunes_the_copied_layers(tmp_path):
    net = fit(tmp_path, layers=2, frozen=False).net
    ours = [layer[0].weight.clone() for layer in net.layers]
    theirs = donor_layers(tmp_path, "source", net)
    assert not any(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
