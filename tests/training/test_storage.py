import pytest
import torch

from transferlab import storage
from transferlab.errors import UserError


def test_round_trip(tmp_path):
    tensors = {"w": torch.randn(3, 4, 5, 5).to(memory_format=torch.channels_last), "n": torch.tensor(7)}
    storage.write(tmp_path / "x.safetensors", tensors, {"note": "ü"})
    back, texts = storage.read(tmp_path / "x.safetensors")
    assert texts == {"note": "ü"}
    assert all(torch.equal(back[k], tensors[k]) for k in tensors)
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    storage.write(path, {"w": torch.ones(100)}, {})
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    path.write_bytes({"truncate": content[:-9], "empty": b"", "flip": content}[damage])
    with pytest.raises(UserError, match="x.safetensors"):
        storage.read(path)


def test_a_checkpoint_of_another_architecture_is_one_clear_line(tmp_path):
    path = tmp_path / "x.safetensors"
    storage.write(path, torch.nn.Linear(3, 2).state_dict(), {})
    with pytest.raises(
        UserError, match=r"x.safetensors: .*another architecture: weight is \(2, 3\), the net's \(2, 5\)"
    ):
        storage.fill(torch.nn.Linear(5, 2), storage.read(path)[0], path)
    with pytest.raises(UserError, match=r"bias is \(2,\), the net's missing"):
        storage.fill(torch.nn.Linear(3, 2, bias=False), storage.read(path)[0], path)
