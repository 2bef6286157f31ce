"""The face of a tensor: what floors above lend to it."""

# x[items] where that is a view and nothing else, or None
ctypedef object (*Views)(object x, object items)

cdef void set_views(Views views)
