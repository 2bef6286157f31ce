"""Complex numbers as pairs of real ones, and their parts."""
from tensorgrad._core.dtype cimport CAT_COMPLEX, TG_C64, TG_C128, TG_F32, TG_F64, dtype_of
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase
from tensorgrad.ops.shape cimport sizes_of, strided, strides_of

from tensorgrad._core.declaration import composite, operator

cdef Operator select, stack, view_as_real
select, stack, view_as_real = (handle(n) for n in ("select", "stack", "view_as_real"))


def _view_as_real(TensorBase self):
    cdef TensorBase x
    if self.dtype.category != CAT_COMPLEX:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    x = strided(self, sizes_of(self) + [2], [2 * s for s in strides_of(self)] + [1], 2 * self.offset)
    x.dtype = dtype_of(TG_F32 if self.dtype.code == TG_C64 else TG_F64)
    return x


def _view_as_complex(TensorBase self):
    cdef TensorBase x
    cdef list strides = strides_of(self)
    if self.dtype.code not in (TG_F32, TG_F64):
        raise RuntimeError("view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
                           f"{self.dtype.name}")
    if self.ndim == 0 or self.shape[self.ndim - 1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if strides[-1] != 1 or self.offset % 2 or any([s % 2 for s in strides[:-1]]):
        raise RuntimeError("Tensor must have a last dimension with stride 1, and its other strides and its storage offset must be "
                           "divisible by 2")
    x = strided(self, sizes_of(self)[:-1], [s // 2 for s in strides[:-1]], self.offset // 2)
    x.dtype = dtype_of(TG_C64 if self.dtype.code == TG_F32 else TG_C128)
    return x


operator("view_as_real(Tensor self)", _view_as_real, view=True, jvp="linear",
         vjp={"self": lambda grad: handle("view_as_complex")(grad.contiguous())}, method=False,
         doc="A complex tensor as a view of pairs (real, imaginary) in a last dimension of size two.",
         samples=lambda make: [((make(3, 4),), {})],
         reference="np.stack((self.real, self.imag), -1)")
operator("view_as_complex(Tensor self)", _view_as_complex, view=True, vjp={"self": lambda grad: view_as_real(grad.contiguous())},
         jvp=lambda self_t: handle("view_as_complex")(self_t.contiguous()), method=False,
         doc="Pairs in a last dimension of size two as a view of complex numbers.",
         samples=lambda make: [((make(3, 2),), {})],
         reference="self[..., 0] + 1j * self[..., 1]")
composite("real(Tensor self)", lambda self: select(view_as_real(self), -1, 0) if self.is_complex() else self, method="property",
          reference="np.real(self)", doc="The real parts, as a view; a real tensor as it is.")
composite("imag(Tensor self)", lambda self: _imag(self), method="property", reference="np.imag(self)",
          doc="The imaginary parts, as a view.")


def _imag(self):
    if not self.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return select(view_as_real(self), -1, 1)


composite("complex(Tensor real, Tensor imag)", lambda real, imag: _complex(real, imag), method=False,
          out_exact="Expected object of scalar type {wanted} but got scalar type {got} for argument 'out'",
          reference="real + 1j * imag", samples=lambda make: [((make(3), make(3)), {})],
          doc="Complex numbers from their real and imaginary parts.")


def _complex(real, imag):
    types = [x.type().rpartition(".")[2].removesuffix("Tensor") for x in (real, imag)]
    if not (real.is_floating_point() and imag.is_floating_point()):
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {types[0]} and {types[1]}")
    if real.dtype is not imag.dtype:
        raise RuntimeError(f"Expected object of scalar type {types[0]} but got scalar type {types[1]} for second argument")
    pairs = stack(handle("broadcast_tensors")((real, imag)), -1)
    return handle("view_as_complex")(pairs)


composite("polar(Tensor abs, Tensor angle)", lambda abs, angle: _complex(abs * angle.cos(), abs * angle.sin()), method=False,
          reference="abs * np.exp(1j * angle)", samples=lambda make: [((make(3), make(3)), {})],
          doc="Complex numbers from their moduli and arguments.")
composite("angle(Tensor self)", lambda self: handle("_angle")(self) if self.is_complex() else _real_angle(self),
          reference="np.angle(self)", doc="The argument of each element, in radians.")


def _real_angle(self):
    cdef Operator where = handle("where")
    x = self if self.is_floating_point() else self.float()
    return where(x != x, x, (x < 0).to(x.dtype) * 3.141592653589793)


composite("conj(Tensor self)", lambda self: handle("conj_physical")(self) if self.is_complex() else self,
          reference="np.conj(self)", doc="The complex conjugate of each element; a real tensor as it is.")
composite("resolve_conj(Tensor self)", lambda self: self, doc="The tensor: conjugation here is never lazy.",
          samples=lambda make: [((make(3, 4),), {})],
          reference="self")
composite("resolve_neg(Tensor self)", lambda self: self, doc="The tensor: negation here is never lazy.",
          samples=lambda make: [((make(3, 4),), {})],
          reference="self")
