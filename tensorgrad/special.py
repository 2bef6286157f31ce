"""Special functions: `tensorgrad.special.entr(x)` and the like, under the names of PyTorch's `torch.special`.

Examples
--------
>>> import tensorgrad
>>> tensorgrad.special.ndtr(tensorgrad.tensor([0.0, 1.0]))
tensor([0.5000, 0.8413])
"""

from __future__ import annotations

from tensorgrad import (
    digamma,
    erf,
    erfc,
    erfinv,
    exp2,
    expm1,
    i0,
    log1p,
    log_softmax,
    logit,
    logsumexp,
    polygamma,
    round,
    sinc,
    softmax,
    xlogy,
)
from tensorgrad import (
    digamma as psi,
)
from tensorgrad import (
    lgamma as gammaln,
)
from tensorgrad import (
    sigmoid as expit,
)
from tensorgrad import (
    special_bessel_j0 as bessel_j0,
)
from tensorgrad import (
    special_bessel_j1 as bessel_j1,
)
from tensorgrad import (
    special_bessel_y0 as bessel_y0,
)
from tensorgrad import (
    special_bessel_y1 as bessel_y1,
)
from tensorgrad import (
    special_entr as entr,
)
from tensorgrad import (
    special_erfcx as erfcx,
)
from tensorgrad import (
    special_i0e as i0e,
)
from tensorgrad import (
    special_i1 as i1,
)
from tensorgrad import (
    special_i1e as i1e,
)
from tensorgrad import (
    special_log_ndtr as log_ndtr,
)
from tensorgrad import (
    special_multigammaln as multigammaln,
)
from tensorgrad import (
    special_ndtr as ndtr,
)
from tensorgrad import (
    special_ndtri as ndtri,
)
from tensorgrad import (
    special_xlog1py as xlog1py,
)
from tensorgrad import (
    special_zeta as zeta,
)

__all__ = [
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
    "zeta",
]
