"""Recordings of spoken digits as log-mel spectrograms: 32 times x 32 bands, in decibels."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

from transferlab.data import archives
from transferlab.data.archives import Paths, members
from transferlab.data.content import digest, remembered
from transferlab.errors import UserError

RATE = 8000
"""Samples per second."""
WINDOW = 256
"""Samples under a Hann window: 32 ms."""
HOP = 80
"""Samples from one window to the next: 10 ms."""
SIZE = 32
"""Times and bands of a spectrogram."""
RANGE = 80.0
"""Decibels that are kept under the clip's loudest value, as in librosa.power_to_db."""
_NAME = re.compile(r"(\d)_([A-Za-z0-9]+)_(\d+)\.wav")


@dataclass(frozen=True)
class Clips:
    """N recordings: spectrograms float32 [N, 1, 32, 32], digits int64 [N], speakers str [N], takes int64 [N]."""

    spectrograms: np.ndarray
    digits: np.ndarray
    speakers: np.ndarray
    takes: np.ndarray


def parse(name: str) -> tuple[str, int, int] | None:
    """Speaker, digit and take of a file {digit}_{speaker}_{take}.wav in any folder; None for another file."""
    match = _NAME.fullmatch(PurePosixPath(name).name)
    return (match[2], int(match[1]), int(match[3])) if match else None


@remembered(maxsize=4)
def names(paths: Paths) -> list[tuple[str, int, int]]:
    """Speaker, digit and take of each recording in ``paths``, sorted."""
    return sorted(key for name in archives.names(paths) if (key := parse(name)))


def recordings(paths: Paths) -> Iterator[tuple[tuple[str, int, int], np.ndarray]]:
    """Speaker, digit and take of each recording in ``paths``, and its samples; none may be there twice."""
    seen: set[tuple[str, int, int]] = set()
    for name, content in members(paths, lambda name: parse(name) is not None):
        key = parse(name)
        assert key is not None
        if key in seen:
            raise UserError(f"{paths[0]}: recording {PurePosixPath(name).name} is there twice")
        seen.add(key)
        yield key, signal(content, f"{paths[0]}: {name}")
    if not seen:
        raise UserError(f"{paths[0]}: holds no recordings called {{digit}}_{{speaker}}_{{take}}.wav")


def content(paths: Paths) -> str:
    """What ``paths`` are known by, once all recordings in them are found right."""
    return digest(paths, check=lambda: list(recordings(paths)))


# Not kept on disk: all 3,000 clips of FSDD take less time than importing torch.
@remembered(maxsize=4)  # splits and speakers are parts of the same files
def read(paths: Paths) -> Clips:
    """All recordings in ``paths``, sorted by speaker, digit and take.

    Raises :class:`UserError` naming a file that is damaged, not mono 16-bit PCM at 8 kHz, or there twice.
    """
    found = {key: log_mel(samples) for key, samples in recordings(paths)}
    keys = sorted(found)
    speakers, digits, takes = zip(*keys, strict=True)
    spectrograms = np.stack([found[key] for key in keys])
    return Clips(spectrograms, np.array(digits, np.int64), np.array(speakers), np.array(takes, np.int64))


def signal(content: bytes, where: str) -> np.ndarray:
    """float32 [n] in [-1, 1) from the bytes of a WAV file; errors say ``where`` it is."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            kind = (file.getnchannels(), 8 * file.getsampwidth(), file.getframerate())
            count, frames = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise UserError(f"{where}: damaged or not a PCM WAV file ({error})") from None
    if kind != (1, 16, RATE):
        raise UserError(f"{where}: {kind[0]} channels, {kind[1]} bits, {kind[2]} Hz; needed are 1, 16 and {RATE}")
    if len(frames) != 2 * count or count < WINDOW:
        raise UserError(f"{where}: truncated or too short: {len(frames) // 2} of {count} samples, needed are {WINDOW}")
    return np.frombuffer(frames, "<i2").astype(np.float32) / 32768


def log_mel(samples: np.ndarray) -> np.ndarray:
    """float32 [1, 32 times, 32 bands] of a clip, float32 [n]: decibels under its loudest value, in [-80, 0].

    The clip is divided into 32 equal times, whatever its length, and the energy averaged in each. Padded to one
    length, most of a picture would be silence, and cut to one, slow speakers would lose the end of the word.
    """
    import torch
    import torch.nn.functional as F

    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(torch.from_numpy(samples), WINDOW, HOP, window=window, return_complex=True)
    energy = torch.from_numpy(filters()) @ spectrum.abs().square()
    energy = F.adaptive_avg_pool1d(energy, SIZE).clamp(min=1e-10)
    decibels = 10 * torch.log10(energy / energy.max())
    return decibels.clamp(min=-RANGE).T[None].numpy()


@lru_cache(maxsize=1)
def filters() -> np.ndarray:
    """float32 [32, 129]: triangles of height 1, evenly spaced from 0 to 4,000 Hz on HTK's mel scale.

    mel = 2595 log10(1 + f / 700).
    """
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, SIZE + 2) / 2595) - 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequency = np.fft.rfftfreq(WINDOW, 1 / RATE)
    rise, fall = (frequency - low) / (centre - low), (high - frequency) / (high - centre)
    return np.maximum(np.minimum(rise, fall), 0).astype(np.float32)
