"""Masks as places, for the families that index by tensors."""
from tensorgrad._core.types cimport TensorBase

cdef list _mask_indices(TensorBase mask, TensorBase x, int dim)
cdef object _true_places(TensorBase mask, bint as_rows)
cdef str _title(x)
