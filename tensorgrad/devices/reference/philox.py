"""Random numbers as kernels/cpu/random.h draws them, in NumPy: Philox4x32-10 (Salmon et al., SC 2011)."""

from __future__ import annotations

import numpy as np

LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
# dtype: (real type that is drawn, words for an element, bits of a uniform number)
DRAWS = {
    "float16": (np.float32, 1, 11),
    "bfloat16": (np.float32, 1, 8),
    "float32": (np.float32, 1, 24),
    "complex64": (np.float32, 2, 24),
    "float64": (np.float64, 2, 53),
    "complex128": (np.float64, 4, 53),
}


def words(seed, offset, count):
    """The first `count` words (uint32, held as uint64) of the blocks offset, offset + 1, ..."""
    blocks = -(-count // 4)
    counter = np.arange(blocks, dtype=np.uint64) + np.uint64(offset)
    c0, c1 = counter & LOW, counter >> HALF
    c2 = c3 = np.zeros(blocks, np.uint64)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c2 = (p1 >> HALF) ^ c1 ^ np.uint64(k0), (p0 >> HALF) ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & LOW, p0 & LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).reshape(-1)[:count]


def pairs(seed, offset, count):
    """64-bit words."""
    w = words(seed, offset, 2 * count)
    return w[::2] | w[1::2] << HALF


def _unit(real, raw, bits):
    """In [0, 1), with as many bits as the type has."""
    if real is np.float64:
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return (raw >> np.uint64(32 - bits)).astype(np.float32) / np.float32(1 << bits)


def _open(real, raw):
    """In (0, 1): the middles of equal intervals."""
    if real is np.float64:
        return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return ((raw >> np.uint64(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)


def _normal(real, raw, mean, std):
    """Box and Muller: two words become two independent normal numbers."""
    radius = real(std) * np.sqrt(real(-2) * np.log(_open(real, raw[::2])))
    angle = real(6.28318530717958647692) * _unit(real, raw[1::2], 24)
    return np.stack([mean + radius * np.cos(angle), mean + radius * np.sin(angle)], axis=1).reshape(-1)


def _reals(kind, real, seed, offset, count, bits, p0, p1):
    """`count` real numbers; the normal ones come in whole pairs."""
    raw = (pairs if real is np.float64 else words)(seed, offset, count + count % 2)
    if kind == "normal":
        return _normal(real, raw, real(p0), real(p1))[:count]
    if kind == "exponential":
        return (-np.log(_open(real, raw)) / real(p0))[:count]
    low, high = real(p0), real(p1)
    x = low + real(p1 - p0) * _unit(real, raw, bits)
    return np.where(x < high, x, low)[:count]


def draw(kind, dtype, count, seed, offset, p0, p1):
    """`count` numbers for elements of a dtype, in the type that they are computed in.

    Parameters
    ----------
    kind, seed, offset, p0, p1
        As `tensorgrad.devices.Backend.random` takes them.
    dtype : str
    count : int
    """
    if kind == "bernoulli":
        threshold = 2**32 if p0 >= 1 else int(p0 * 2.0**32) if p0 > 0 else 0
        return words(seed, offset, count) < np.uint64(threshold)
    if kind == "randint":
        raw = pairs(seed, offset, count)
        scaled = _high_product(raw, np.uint64(p1)) if p1 else raw
        value = np.uint64(p0 & 0xFFFFFFFFFFFFFFFF) + scaled
        return value if dtype == "uint64" else value.astype(np.int64)
    if dtype not in DRAWS or (kind == "exponential" and dtype.startswith("complex")):
        raise NotImplementedError(f"{kind} numbers are not drawn as {dtype}")
    real, per_element, bits = DRAWS[dtype]
    if not dtype.startswith("complex"):
        return _reals(kind, real, seed, offset, count, bits, p0, p1)
    if kind == "normal":
        p1 *= 0.70710678118654752440
    x = _reals(kind, real, seed, offset, 2 * count, bits, p0, p1)
    assert per_element == (2 if real is np.float32 else 4)
    return x[::2] + 1j * x[1::2]


def _high_product(a, b):
    """The upper 64 bits of a product of 64-bit numbers, from four products of 32-bit halves."""
    a0, a1, b0, b1 = a & LOW, a >> HALF, b & LOW, b >> HALF
    low, cross0, cross1, high = a0 * b0, a0 * b1, a1 * b0, a1 * b1
    carry = (low >> HALF) + (cross0 & LOW) + (cross1 & LOW)
    return high + (cross0 >> HALF) + (cross1 >> HALF) + (carry >> HALF)
