"""Spoken digits: spectrograms against SciPy, splits, several languages, and damaged recordings."""

import io
import tarfile
import wave
import zipfile

import numpy as np
import pytest

from tests.conftest import labels_are_known
from transferlab import data
from transferlab.config import DataConfig
from transferlab.data.speech import _speech
from transferlab.data.split import split_rows
from transferlab.errors import UserError


def wav(samples, rate=8000, channels=1):
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return content.getvalue()


def tone(digit, take=0, count=1600):
    """A tone whose pitch is the digit's."""
    return wav(8000 * np.sin(2 * np.pi * (300 + 300 * digit) * (np.arange(count) + take) / 8000))


def settings(root):
    return DataConfig(root=str(root), download="false")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two English speakers (zip), four Gujarati and four Ukrainian ones (tar.xz and a folder), all ten digits."""
    root = tmp_path_factory.mktemp("speech")
    (root / "fsdd").mkdir()
    with zipfile.ZipFile(root / "fsdd" / "recordings.zip", "w") as archive:
        for speaker in ("george", "theo"):
            for digit in range(10):
                for take in (0, 4, 5, 6):
                    archive.writestr(f"recordings/{digit}_{speaker}_{take}.wav", tone(digit, take))
    folder = root / "spoken_digits"
    (folder / "ukrainian").mkdir(parents=True)
    with tarfile.open(folder / "gujarati.tar.xz", "w:xz") as archive:
        for speaker in range(4):
            for digit in range(10):
                content = tone(digit, speaker)
                member = tarfile.TarInfo(f"gu/{digit}_r1s{speaker}_0.wav")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
                (folder / "ukrainian" / f"{digit}_man{speaker}_0.wav").write_bytes(tone(digit, 9 + speaker))
    return root


def load(root, name, **options):
    return data.find(name, data.config_class(name)(**options), settings(root))


def test_spectrograms_are_scipys():
    """Windowed power spectrum, triangular mel bands, 32 equal times, decibels: by SciPy and by hand."""
    from scipy.signal import stft

    samples = np.random.default_rng(0).normal(size=2560).astype(np.float32)
    padded = np.pad(samples, 128, mode="reflect")
    _, _, spectrum = stft(padded, window="hann", nperseg=256, noverlap=176, boundary=None, padded=False)
    power = np.abs(spectrum * 128) ** 2  # SciPy divides by the window's sum
    mel = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 34)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.arange(129) * 8000 / 256
    bands = np.array([np.interp(frequency, edges[i : i + 3], [0, 1, 0]) for i in range(32)])
    energy = bands @ power
    frames = energy.shape[1]
    starts = [(i * frames // 32, -(-(i + 1) * frames // 32)) for i in range(32)]
    energy = np.stack([energy[:, a:b].mean(1) for a, b in starts])
    expected = np.maximum(10 * np.log10(energy / energy.max()), -80)
    np.testing.assert_allclose(_speech.log_mel(samples)[0], expected, atol=2e-3)


def test_takes_and_speakers_part_fsdd(root):
    found = load(root, "fsdd", speakers=["theo"])
    assert labels_are_known(found)
    train, test = found.load("train"), found.load("test")
    assert found.edition == "subset-80" and train.inputs.shape == test.inputs.shape == (20, 1, 32, 32)
    assert train.inputs.dtype == np.float32 and train.inputs.max() == 0 and train.inputs.min() >= -80
    assert np.bincount(train.labels).tolist() == [2] * 10 and train.provenance["speakers"] == ["theo"]
    # A tone of 300 + 300 d Hz is loudest in the band around it.
    loudest = [train.inputs[train.labels == digit].mean((0, 1, 2)).argmax() for digit in range(10)]
    assert loudest == sorted(loudest) and len(set(loudest)) == 10


def test_test_speakers_are_not_heard_in_training(root):
    for language in ("gujarati", "ukrainian"):
        found = load(root, "spoken_digits", languages=[language])
        assert labels_are_known(found)
        train, test = found.load("train"), found.load("test")
        assert found.edition == language and found.classes == tuple("0123456789")
        assert not set(train.provenance["speakers"]) & set(test.provenance["speakers"])
        assert len(train) == 30 and len(test) == 10
        rows, held_out = split_rows(train, 5000, labelled=True)
        assert len(held_out) == 10 and not set(train.groups[rows]) & set(train.groups[held_out])


def test_several_languages_are_tasks(root):
    found = load(root, "spoken_digits", languages=["ukrainian", "english", "gujarati"])
    assert labels_are_known(found)
    assert found.classes[9:11] == ("ukrainian/9", "english/0") and len(found.classes) == 30
    joined = found.load("train")
    for place, language in enumerate(("ukrainian", "english", "gujarati")):
        alone = load(root, "spoken_digits", languages=[language]).load("train")
        rows = joined.labels // 10 == place
        assert np.array_equal(joined.inputs[rows], alone.inputs)
        assert np.array_equal(joined.labels[rows] % 10, alone.labels)
    assert np.unique(joined.groups, return_counts=True)[1].tolist() == [10] * 3 + [1] * 40 + [10] * 3


@pytest.mark.parametrize(("name", "options", "words"), [
    ("fsdd", {"speakers": ["teo"]}, "fsdd.speakers: no teo; allowed are george, theo; did you mean theo"),
    ("spoken_digits", {"languages": []}, r"spoken_digits.languages=\[\]: at least one is needed"),
    ("spoken_digits", {"languages": ["gujarati"] * 2}, "a language is listed twice"),
])  # fmt: skip
def test_bad_options_are_one_clear_line(root, name, options, words):
    with pytest.raises(UserError, match=words):
        load(root, name, **options)


@pytest.mark.parametrize(("content", "words"), [
    (b"RIFF", "damaged or not a PCM WAV file"),
    (wav(np.zeros(2000), rate=16000), "1 channels, 16 bits, 16000 Hz; needed are 1, 16 and 8000"),
    (wav(np.zeros(2000), channels=2), "2 channels"),
    (wav(np.zeros(100)), "truncated or too short"),
    (tone(1)[:-100], "truncated or too short"),
])  # fmt: skip
def test_a_bad_recording_is_named(content, words):
    with pytest.raises(UserError, match=f"1_x_0.wav: {words}"):
        _speech.signal(content, "1_x_0.wav")


def test_a_set_that_is_not_there_says_where_to_put_it(tmp_path, no_data):
    for name in ("fsdd", "spoken_digits"):
        with pytest.raises(UserError, match=f"{name}: not found; put .* into <data.root>/{name}"):
            load(tmp_path, name)
