"""The special functions that expressions call, as C text that devices compile: one source for the CPU and for them.

``kernels/cpu/special_math.h`` and its neighbours are written in a subset of C that OpenCL C and CUDA C++ share, in
terms of the functions of ``math.h`` (which both have without a header), of ``INFINITY`` and ``NAN``. So a device gets
the functions of tomorrow with the library, and not with a release of its plugin.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import tensorgrad.kernels.cpu

HEADERS = ("special_math.h", "more_special_math.h", "bessel_math.h")
_DEFINITION = re.compile(
    r"^static (?P<function>double (?P<name>tg_\w+)\([^()]*\) \{(?:.*\}|\n(?:.*\n)*?\}))$"
    r"|^(?P<macro>#define (?P<macro_name>TG_\w+) [-\d.e]+)$",
    re.MULTILINE,
)
_FLOATING = re.compile(r"(?<![\w.])(\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)(?![\w.])")


@functools.cache
def definitions(doubles: bool = True) -> dict[str, str]:
    """Functions ``double tg_NAME(double, ...)`` and the constants that they use, in an order in which they compile.

    Parameters
    ----------
    doubles : bool
        Whether the device has numbers of double precision. If not, all of them are float.

    Returns
    -------
    dict
        The text of each definition, without ``static``, by its name. Those that expressions call end in ``_d``.

    Examples
    --------
    >>> from tensorgrad.devices.reference.c_source import definitions
    >>> print(definitions()["tg_ndtr_d"])
    double tg_ndtr_d(double x) { return 0.5 * erfc(-x * TG_SQRT_HALF); }
    >>> print(definitions(doubles=False)["tg_ndtr_d"])
    float tg_ndtr_d(float x) { return 0.5f * erfc(-x * TG_SQRT_HALF); }
    """
    folder = Path(tensorgrad.kernels.cpu.__path__[0])
    found: dict[str, str] = {}
    for header in HEADERS:
        for match in _DEFINITION.finditer((folder / header).read_text(encoding="utf-8")):
            text = match["function"] or match["macro"]
            if not doubles:
                text = _FLOATING.sub(r"\1f", re.sub(r"\bdouble\b", "float", text))
            found[match["name"] or match["macro_name"]] = text
    return found


def names() -> list[str]:
    """The functions that expressions may call, without ``tg_``, as `Backend.functions` names them.

    Examples
    --------
    >>> from tensorgrad.devices.reference.c_source import names
    >>> "zeta_d" in names()
    True
    """
    return [name.removeprefix("tg_") for name in definitions() if name.endswith("_d")]
