"""The functions that expressions call, in OpenCL C: what kernels/cpu/scalar_math.h is for the CPU.

A program contains those functions only that it calls, for compiling all of them takes longer than most kernels do.
"""

from __future__ import annotations

import re

# {T} the type, {S} its suffix
_INTEGER = """
{T} tg_abs_{S}({T} x) {{ return {NEGATIVE} ? ({T})(0 - x) : x; }}
{T} tg_sign_{S}({T} x) {{ return ({T})((x > 0) - ({NEGATIVE})); }}
{T} tg_max_{S}({T} x, {T} y) {{ return x > y ? x : y; }}
{T} tg_min_{S}({T} x, {T} y) {{ return x < y ? x : y; }}
int tg_isnan_{S}({T} x) {{ return 0; }}
{T} tg_truncdiv_{S}({T} x, {T} y) {{
    return y == 0 ? ({T})0 : {SIGNED} && y == ({T})-1 ? ({T})(0 - (ulong)x) : ({T})(x / y); }}
{T} tg_fmod_{S}({T} x, {T} y) {{ return y == 0 || ({SIGNED} && y == ({T})-1) ? ({T})0 : ({T})(x % y); }}
{T} tg_remainder_{S}({T} x, {T} y) {{
    {T} r = tg_fmod_{S}(x, y); return {SIGNED} && r != 0 && ((r < 0) != (y < 0)) ? ({T})(r + y) : r; }}
{T} tg_floordiv_{S}({T} x, {T} y) {{
    {T} q = tg_truncdiv_{S}(x, y);
    return {SIGNED} && y != 0 && tg_fmod_{S}(x, y) != 0 && ((x < 0) != (y < 0)) ? ({T})(q - 1) : q; }}
{T} tg_pow_{S}({T} x, {T} y) {{
    if ({SIGNED} && y < 0) return x == 1 ? ({T})1 : x == ({T})-1 ? ((y & 1) ? ({T})-1 : ({T})1) : ({T})0;
    ulong r = 1, b = (ulong)x;
    for (ulong e = (ulong)y; e; e >>= 1) {{ if (e & 1) r *= b; b *= b; }}
    return ({T})r; }}
"""
_BUILT_IN = [
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "exp",
    "log",
    "sqrt",
    "exp2",
    "expm1",
    "log1p",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "erf",
    "erfc",
    "lgamma",
    "log2",
    "log10",
    "hypot",
    "atan2",
    "isnan",
    "copysign",
    "signbit",
]
_FLOAT = (
    "".join([f"#define tg_{name}_{{S}} {name}\n" for name in _BUILT_IN])
    + """
#define tg_abs_{S} fabs
{T} tg_real_{S}({T} x) {{ return x; }}
{T} tg_sign_{S}({T} x) {{ return ({T})((x > 0) - (x < 0)); }}
{T} tg_max_{S}({T} x, {T} y) {{ return x > y || x != x ? x : y; }}
{T} tg_min_{S}({T} x, {T} y) {{ return x < y || x != x ? x : y; }}
{T} tg_truncdiv_{S}({T} x, {T} y) {{ return trunc(x / y); }}
#define tg_fmod_{S} fmod
{T} tg_remainder_{S}({T} x, {T} y) {{ {T} r = fmod(x, y); return r != 0 && ((r < 0) != (y < 0)) ? r + y : r; }}
{T} tg_floordiv_{S}({T} x, {T} y) {{
    if (y == 0) return x / y;
    {T} m = fmod(x, y), q = (x - m) / y;
    if (m != 0 && ((y < 0) != (m < 0))) q -= 1;
    if (q == 0) return copysign(({T})0, x / y);
    {T} f = floor(q); return q - f > ({T})0.5f ? f + 1 : f; }}
{T} tg_pow_{S}({T} x, {T} y) {{ return y == 2 ? x * x : pow(x, y); }}
{T} tg_sigmoid_{S}({T} x) {{ return 1 / (1 + exp(-x)); }}
long tg_i64_of_{S}({T} x) {{ return x >= -9223372036854775808.0f && x < 9223372036854775808.0f ? (long)x : LONG_MIN; }}
int tg_i32_of_{S}({T} x) {{ return x > {BELOW_INT} && x < 2147483648.0f ? (int)x : INT_MIN; }}
ulong tg_u64_of_{S}({T} x) {{
    return x >= 9223372036854775808.0f && x < 18446744073709551616.0f
        ? (ulong)(x - 9223372036854775808.0f) + ((ulong)1 << 63) : (ulong)tg_i64_of_{S}(x); }}
"""
)
# Kahan, "Branch cuts for complex elementary functions" (1987), for the inverse functions.
_COMPLEX = """
int tg_nonzero_{S}({T} z) {{ return z.x != 0 || z.y != 0; }}
int tg_eq_{S}({T} a, {T} b) {{ return a.x == b.x && a.y == b.y; }}
int tg_ne_{S}({T} a, {T} b) {{ return a.x != b.x || a.y != b.y; }}
int tg_isnan_{S}({T} z) {{ return isnan(z.x) || isnan(z.y); }}
{T} tg_mul_{S}({T} a, {T} b) {{ return ({T})(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }}
{T} tg_div_{S}({T} a, {T} b) {{   /* Smith's algorithm */
    if (b.x == 0 && b.y == 0) return ({T})(a.x / fabs(b.x), a.y / fabs(b.x));
    if (fabs(b.x) >= fabs(b.y)) {{
        {R} r = b.y / b.x, d = b.x + b.y * r; return ({T})((a.x + a.y * r) / d, (a.y - a.x * r) / d); }}
    {R} r = b.x / b.y, d = b.x * r + b.y; return ({T})((a.x * r + a.y) / d, (a.y * r - a.x) / d); }}
{R} tg_real_{S}({T} z) {{ return z.x; }}
{R} tg_imag_{S}({T} z) {{ return z.y; }}
{T} tg_conj_{S}({T} z) {{ return ({T})(z.x, -z.y); }}
{R} tg_arg_{S}({T} z) {{ return atan2(z.y, z.x); }}
{R} tg_abs_{S}({T} z) {{ return hypot(z.x, z.y); }}
{T} tg_sign_{S}({T} z) {{ {R} m = hypot(z.x, z.y); return m == 0 ? ({T})0 : z / m; }}
{T} tg_exp_{S}({T} z) {{
    {R} e = exp(z.x); return z.y == 0 ? ({T})(e, z.y) : ({T})(e * cos(z.y), e * sin(z.y)); }}
{T} tg_log_{S}({T} z) {{
    {R} a = fmax(fabs(z.x), fabs(z.y)), b = fmin(fabs(z.x), fabs(z.y)), m = hypot(a, b);
    {R} l = m > ({R})0.5f && m < 2 ? ({R})0.5f * log1p((a - 1) * (a + 1) + b * b) : log(m);
    return ({T})(l, atan2(z.y, z.x)); }}
{T} tg_log2_{S}({T} z) {{ return tg_log_{S}(z) * ({R})1.44269504088896340736{F}; }}
{T} tg_log10_{S}({T} z) {{ return tg_log_{S}(z) * ({R})0.43429448190325182765{F}; }}
{T} tg_sqrt_{S}({T} z) {{
    if (z.x == 0 && z.y == 0) return ({T})(0, z.y);
    if (isinf(z.y)) return ({T})(INFINITY, z.y);
    {R} s = sqrt((fabs(z.x) + hypot(z.x, z.y)) / 2), d = fabs(z.y) / (2 * s);
    return z.x >= 0 ? ({T})(s, copysign(d, z.y)) : ({T})(d, copysign(s, z.y)); }}
{T} tg_sinh_{S}({T} z) {{ return ({T})(sinh(z.x) * cos(z.y), cosh(z.x) * sin(z.y)); }}
{T} tg_cosh_{S}({T} z) {{ return ({T})(cosh(z.x) * cos(z.y), sinh(z.x) * sin(z.y)); }}
{T} tg_tanh_{S}({T} z) {{
    if (fabs(z.x) > 20) return ({T})(copysign(({R})1, z.x), 4 * sin(z.y) * cos(z.y) * exp(-2 * fabs(z.x)));
    {R} t = tan(z.y), c = 1 / (1 + t * t), s = sinh(z.x), d = c + s * s;   /* with the square of the cosine */
    return ({T})(s * cosh(z.x) / d, t * c / d); }}
{T} tg_sin_{S}({T} z) {{ {T} w = tg_sinh_{S}(({T})(-z.y, z.x)); return ({T})(w.y, -w.x); }}
{T} tg_cos_{S}({T} z) {{ return tg_cosh_{S}(({T})(-z.y, z.x)); }}
{T} tg_tan_{S}({T} z) {{ {T} w = tg_tanh_{S}(({T})(-z.y, z.x)); return ({T})(w.y, -w.x); }}
{T} tg_asin_{S}({T} z) {{
    {T} a = tg_sqrt_{S}(({T})(1 - z.x, -z.y)), b = tg_sqrt_{S}(({T})(1 + z.x, z.y));
    return ({T})(atan2(z.x, a.x * b.x - a.y * b.y), asinh(a.x * b.y - a.y * b.x)); }}
{T} tg_acos_{S}({T} z) {{
    {T} a = tg_sqrt_{S}(({T})(1 - z.x, -z.y)), b = tg_sqrt_{S}(({T})(1 + z.x, z.y));
    return ({T})(2 * atan2(a.x, b.x), asinh(b.x * a.y - b.y * a.x)); }}
{T} tg_asinh_{S}({T} z) {{ {T} w = tg_asin_{S}(({T})(-z.y, z.x)); return ({T})(w.y, -w.x); }}
{T} tg_acosh_{S}({T} z) {{
    {T} a = tg_sqrt_{S}(({T})(z.x - 1, z.y)), b = tg_sqrt_{S}(({T})(z.x + 1, z.y));
    return ({T})(asinh(a.x * b.x + a.y * b.y), 2 * atan2(a.y, b.x)); }}
{T} tg_atanh_{S}({T} z) {{
    return ({T})(({R})0.25f * log1p(4 * z.x / ((1 - z.x) * (1 - z.x) + z.y * z.y)),
                 ({R})0.5f * atan2(2 * z.y, (1 - z.x) * (1 + z.x) - z.y * z.y)); }}
{T} tg_atan_{S}({T} z) {{ {T} w = tg_atanh_{S}(({T})(-z.y, z.x)); return ({T})(w.y, -w.x); }}
{T} tg_pow_{S}({T} x, {T} y) {{
    if (y.x == 2 && y.y == 0) return tg_mul_{S}(x, x);
    if (y.x == 0 && y.y == 0) return ({T})(1, 0);
    if (x.x == 0 && x.y == 0 && y.x > 0) return ({T})0;
    return tg_exp_{S}(tg_mul_{S}(y, tg_log_{S}(x))); }}
{T} tg_sigmoid_{S}({T} z) {{ {T} e = tg_exp_{S}(-z); return tg_div_{S}(({T})(1, 0), ({T})(1 + e.x, e.y)); }}
"""
_BFLOAT16 = """
ushort tg_bfloat16_f32(float x) {
    uint b = as_uint(x);
    return x != x ? (ushort)(b >> 16 | 0x40) : (ushort)((b + 0x7FFF + (b >> 16 & 1)) >> 16); }
"""
# kernels/cpu/special_math.h says where the formulas are from
_SPECIAL = """
{T} tg_erfinv_{S}({T} y) {{
    if (y != y) return y;
    if (y <= -1 || y >= 1) return y == 1 ? ({T})INFINITY : y == -1 ? -({T})INFINITY : ({T})NAN;
    {T} w = -log((1 - y) * (1 + y)), x;
    const {T} c[9] = {{2.81022636e-08{F}, 3.43273939e-07{F}, -3.5233877e-06{F}, -4.39150654e-06{F}, 0.00021858087{F},
                      -0.00125372503{F}, -0.00417768164{F}, 0.246640727{F}, 1.50140941{F}}};
    const {T} d[9] = {{-0.000200214257{F}, 0.000100950558{F}, 0.00134934322{F}, -0.00367342844{F}, 0.00573950773{F},
                      -0.0076224613{F}, 0.00943887047{F}, 1.00167406{F}, 2.83297682{F}}};
    if (w < 5) {{ w -= ({T})2.5f; x = c[0]; for (int i = 1; i < 9; i++) x = c[i] + x * w; }}
    else {{ w = sqrt(w) - 3; x = d[0]; for (int i = 1; i < 9; i++) x = d[i] + x * w; }}
    x *= y;
    for (int i = 0; i < 2; i++) {{
        {T} error = y > ({T})0.5f ? (1 - y) - erfc(x) : y < -({T})0.5f ? erfc(-x) - (1 + y) : erf(x) - y;
        x -= error / (({T})1.12837916709551257390{F} * exp(-x * x)); }}
    return x; }}
{T} tg_digamma_{S}({T} x) {{
    {T} shift = 0, sign = 1;
    if (x == 0) return copysign(({T})INFINITY, -x);
    if (x < 0) {{
        if (x == floor(x)) return ({T})NAN;
        shift = -({T})M_PI{M} / tan(({T})M_PI{M} * fmod(x, ({T})1));
        x = 1 - x; }}
    while (x < 10) {{ shift -= 1 / x; x += 1; }}
    {T} z = 1 / (x * x);
    {T} series = z * (({T})1 / 12 - z * (({T})1 / 120 - z * (({T})1 / 252 - z * (({T})1 / 240 - z * (({T})1 / 132
                 - z * (({T})691 / 32760 - z * (({T})1 / 12)))))));
    return shift + log(x) - ({T})0.5f / x - series; }}
{T} tg_zeta_{S}({T} s, {T} x) {{
    const {T} c[12] = {{12.0{F}, -720.0{F}, 30240.0{F}, -1209600.0{F}, 47900160.0{F}, -1.8924375803183791606e9{F},
        7.47242496e10{F}, -2.950130727918164224e12{F}, 1.1646782814350067249e14{F}, -4.5979787224074726105e15{F},
        1.8152105401943546773e17{F}, -7.1661652561756670113e18{F}}};
    if (s == 1) return ({T})INFINITY;
    if (s < 1) return ({T})NAN;
    if (x <= 0) {{ if (x == floor(x)) return ({T})INFINITY; if (s != floor(s)) return ({T})NAN; }}
    {T} sum = pow(x, -s), a = x, b = 0;
    for (int i = 0; i < 9 || a <= 9; i++) {{
        a += 1; b = pow(a, -s); sum += b; if (fabs(b / sum) < {EPSILON}) return sum; }}
    sum += b * a / (s - 1) - ({T})0.5f * b;
    {T} factor = 1, k = 0;
    for (int i = 0; i < 12; i++) {{
        factor *= s + k; b /= a;
        {T} term = factor * b / c[i];
        sum += term;
        if (fabs(term / sum) < {EPSILON}) break;
        k += 1; factor *= s + k; b /= a; k += 1; }}
    return sum; }}
{T} tg_polygamma_{S}({T} x, {T} n) {{
    if (n == 0) return tg_digamma_{S}(x);
    return (fmod(n, ({T})2) == 0 ? -1 : 1) * tgamma(n + 1) * tg_zeta_{S}(n + 1, x); }}
"""
PHILOX = """
/* Philox4x32-10 as kernels/cpu/random.h draws it */
uint4 tg_philox(ulong seed, ulong counter) {
    uint4 c = (uint4)((uint)counter, (uint)(counter >> 32), 0, 0);
    uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        ulong p0 = (ulong)0xD2511F53u * c.x, p1 = (ulong)0xCD9E8D57u * c.z;
        c = (uint4)((uint)(p1 >> 32) ^ c.y ^ k0, (uint)p1, (uint)(p0 >> 32) ^ c.w ^ k1, (uint)p0);
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u; }
    return c; }
uint tg_word(ulong seed, ulong offset, ulong k) {
    uint4 c = tg_philox(seed, offset + k / 4);
    switch (k % 4) { case 0: return c.x; case 1: return c.y; case 2: return c.z; default: return c.w; } }
ulong tg_pair(ulong seed, ulong offset, ulong k) {
    uint4 c = tg_philox(seed, offset + k / 2);
    return k % 2 ? (ulong)c.z | (ulong)c.w << 32 : (ulong)c.x | (ulong)c.y << 32; }
"""


def _integers(T: str, S: str) -> str:
    signed = S[0] == "i"
    return _INTEGER.format(T=T, S=S, SIGNED=int(signed), NEGATIVE="x < 0" if signed else "0")


_REALS = {"f32": ("float", "f"), "f64": ("double", "")}


def _functions(text: str) -> dict[str, str]:
    """The definitions of a section by name; each begins at the start of a line."""
    found: dict[str, str] = {}
    for part in re.split(r"\n(?=\S)", text):
        names = re.findall(r"\b(tg_\w+)", part)
        if names:
            found[names[0]] = part + "\n"
    return found


_INTEGERS = {
    "u8": "uchar",
    "i8": "char",
    "i16": "short",
    "i32": "int",
    "i64": "long",
    "u16": "ushort",
    "u32": "uint",
    "u64": "ulong",
}
_LIBRARY: dict[str, str] = _functions(_BFLOAT16) | _functions(PHILOX)
for S, T in _INTEGERS.items():
    _LIBRARY |= _functions(_integers(T, S))
for S, (T, F) in _REALS.items():
    _LIBRARY |= _functions(_FLOAT.format(T=T, S=S, BELOW_INT="-2147483904.0f" if F else "-2147483649.0"))
    special = {"T": T, "S": S, "F": F, "M": "_F" if F else "", "EPSILON": "6e-8f" if F else "1.1e-16"}
    _LIBRARY |= _functions(_SPECIAL.format(**special))
_LIBRARY |= _functions(_COMPLEX.format(T="float2", R="float", S="c64", F="f"))
_LIBRARY |= _functions(_COMPLEX.format(T="double2", R="double", S="c128", F=""))


def _needed(text: str, found: dict[str, None]) -> None:
    """Add the functions that a text calls, each after those that it calls itself."""
    for name in re.findall(r"\btg_\w+", text):
        if name in _LIBRARY and name not in found:
            _needed(_LIBRARY[name].replace(name, ""), found)
            found[name] = None


def source(kernels: str) -> str:
    """A program: kernels, after the functions of the library that they call."""
    found: dict[str, None] = {}
    _needed(kernels, found)
    parts = ["#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"] if "double" in kernels else []
    parts.append("#pragma OPENCL FP_CONTRACT OFF\n")
    parts += [_LIBRARY[name] for name in found]
    return "".join(parts) + kernels
