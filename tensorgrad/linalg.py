"""Linear algebra, under the names of PyTorch's `torch.linalg`.

Examples
--------
>>> import tensorgrad
>>> tensorgrad.linalg.det(tensorgrad.tensor([[2.0, 0.0], [1.0, 4.0]]))
tensor(8.)
"""

from __future__ import annotations

from tensorgrad import (
    linalg_cholesky as cholesky,
)
from tensorgrad import (
    linalg_cond as cond,
)
from tensorgrad import (
    linalg_cross as cross,
)
from tensorgrad import (
    linalg_det as det,
)
from tensorgrad import (
    linalg_diagonal as diagonal,
)
from tensorgrad import (
    linalg_eigh as eigh,
)
from tensorgrad import (
    linalg_eigvalsh as eigvalsh,
)
from tensorgrad import (
    linalg_inv as inv,
)
from tensorgrad import (
    linalg_lstsq as lstsq,
)
from tensorgrad import (
    linalg_matrix_norm as matrix_norm,
)
from tensorgrad import (
    linalg_matrix_power as matrix_power,
)
from tensorgrad import (
    linalg_matrix_rank as matrix_rank,
)
from tensorgrad import (
    linalg_multi_dot as multi_dot,
)
from tensorgrad import (
    linalg_norm as norm,
)
from tensorgrad import (
    linalg_pinv as pinv,
)
from tensorgrad import (
    linalg_qr as qr,
)
from tensorgrad import (
    linalg_slogdet as slogdet,
)
from tensorgrad import (
    linalg_solve as solve,
)
from tensorgrad import (
    linalg_svd as svd,
)
from tensorgrad import (
    linalg_svdvals as svdvals,
)
from tensorgrad import (
    linalg_vecdot as vecdot,
)
from tensorgrad import (
    linalg_vector_norm as vector_norm,
)
from tensorgrad.ops.linalg import LinAlgError

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "vecdot",
    "vector_norm",
]
