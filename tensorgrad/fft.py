"""Discrete Fourier transforms, under the names of PyTorch's `torch.fft`.

Examples
--------
>>> import tensorgrad
>>> tensorgrad.fft.rfft(tensorgrad.tensor([1.0, 2.0, 3.0, 4.0])).abs()
tensor([10.0000,  2.8284,  2.0000])
"""

from __future__ import annotations

from tensorgrad import (
    fft_fft as fft,
)
from tensorgrad import (
    fft_fft2 as fft2,
)
from tensorgrad import (
    fft_fftfreq as fftfreq,
)
from tensorgrad import (
    fft_fftn as fftn,
)
from tensorgrad import (
    fft_fftshift as fftshift,
)
from tensorgrad import (
    fft_hfft as hfft,
)
from tensorgrad import (
    fft_hfft2 as hfft2,
)
from tensorgrad import (
    fft_hfftn as hfftn,
)
from tensorgrad import (
    fft_ifft as ifft,
)
from tensorgrad import (
    fft_ifft2 as ifft2,
)
from tensorgrad import (
    fft_ifftn as ifftn,
)
from tensorgrad import (
    fft_ifftshift as ifftshift,
)
from tensorgrad import (
    fft_ihfft as ihfft,
)
from tensorgrad import (
    fft_ihfft2 as ihfft2,
)
from tensorgrad import (
    fft_ihfftn as ihfftn,
)
from tensorgrad import (
    fft_irfft as irfft,
)
from tensorgrad import (
    fft_irfft2 as irfft2,
)
from tensorgrad import (
    fft_irfftn as irfftn,
)
from tensorgrad import (
    fft_rfft as rfft,
)
from tensorgrad import (
    fft_rfft2 as rfft2,
)
from tensorgrad import (
    fft_rfftfreq as rfftfreq,
)
from tensorgrad import (
    fft_rfftn as rfftn,
)

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]
