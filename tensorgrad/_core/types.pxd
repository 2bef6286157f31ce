"""The layouts of Storage, Tensor, Node and their kin, and how each of them dies."""
from cpython.object cimport Py_TYPE, PyObject, PyTypeObject
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t

from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport dtype as DType

cdef enum:
    INLINE_DIMS = 6         # shapes up to here live inside the object
    MAX_DIMS = 64
    INLINE_EDGES = 3
    INLINE_SAVED = 5

cdef class TensorBase
cdef class NodeBase

cdef enum TensorFlag:
    REQUIRES_GRAD = 1       # a leaf that wants a gradient, or the output of a recorded operator
    HAS_TANGENT = 2
    WRAPPED = 4             # belongs to a transform: `wrap` holds the value, there is no storage
    INFERENCE = 8
    CONTIGUOUS = 16
    RETAINS_GRAD = 32
    IS_VIEW = 64
    FRESH = 128             # made by __new__ alone: an empty tensor that __init__ will fill

cdef enum CreationMeta:
    VIEW_DEFAULT            # in-place writes rewrite history
    VIEW_MULTI_OUTPUT       # made by unbind, split, ...: in-place writes are refused
    VIEW_NO_GRAD            # made under no_grad of a base that requires grad
    VIEW_INFERENCE
    VIEW_CUSTOM_FUNCTION

cdef class Storage:
    """Bytes on a device, shared by views. `version` counts the writes to it, for the usual family of views."""
    cdef char* data             # NULL on a plugin's device, whose memory the CPU cannot follow
    cdef object handle          # a plugin's memory handle
    cdef int64_t length         # in bytes
    cdef int64_t version
    cdef Device device
    cdef object owner           # whoever owns foreign memory (a NumPy array, a DLPack capsule)
    cdef PyObject* writer       # borrowed: the operator that wrote last, for error messages
    cdef uint8_t owns           # `data` came from the block allocator
    cdef object __weakref__

cdef class VersionCounter:
    """A counter apart from the storage's: for `.data` and for tensors whose storage was exchanged."""
    cdef int64_t value

cdef class Wrap:
    """What makes a tensor belong to a transform: the tensor one level down, and where its batch dimension is."""
    cdef TensorBase value
    cdef int level
    cdef int bdim               # -1 unless the level is a vmap
    cdef object owner           # the Level, of which the number may since have gone to another

cdef class AutogradMeta:
    """The rarer part of a tensor's state."""
    cdef TensorBase grad
    cdef bint grad_is_zero      # zero_grad() has marked it; materialised when read, overwritten when accumulated
    cdef PyObject* accumulator  # borrowed: the AccumulateGrad clears it when it dies
    cdef TensorBase tangent
    cdef object hooks           # dict of tensor hooks of a leaf
    cdef object post_hooks      # dict of post-accumulate-grad hooks
    cdef object versions        # VersionCounter when it is not the storage's
    cdef object retain_handle

cdef class ViewStep:
    """How a view was made: the operator, its arguments after the tensor, the number of the output, and the steps before."""
    cdef object op
    cdef object first, second, third, fourth    # the arguments, if there are no more
    cdef tuple rest                             # those after the fourth
    cdef int n_args
    cdef int output             # -1 where the operator has one output
    cdef ViewStep before

cdef class TensorBase:
    cdef Storage storage
    cdef DType dtype
    cdef int64_t offset
    cdef int64_t numel
    cdef int64_t* shape         # into `dims`, or into `big_dims`
    cdef int64_t* strides
    cdef int64_t* version       # into the storage or a VersionCounter; NULL for inference tensors
    cdef int32_t ndim
    cdef uint32_t flags
    cdef int32_t output_nr
    cdef int32_t creation_meta
    cdef int64_t view_version   # of a view: the version for which grad_fn holds
    cdef int64_t dims[12]
    cdef NodeBase grad_fn
    cdef AutogradMeta meta
    cdef TensorBase base        # of a view: the tensor that owns the memory
    cdef ViewStep step          # of a view: how to get there from `base`
    cdef Wrap wrap
    cdef object big_dims
    cdef PyObject* attributes   # owned: the instance's __dict__, made when something is first put there
    cdef object __weakref__

cdef struct Edge:
    PyObject* node              # owned; NULL where no gradient flows
    int32_t output_nr

cdef struct OutputMeta:
    PyObject* dtype             # borrowed: dtypes and devices are immortal
    PyObject* device
    int32_t ndim
    int64_t dims[6]
    int64_t* big                # malloc'd for more dimensions
    int32_t level               # of the transform the output belongs to
    bint is_view

cdef enum SavedKind:
    SAVED_NONE, SAVED_OBJECT, SAVED_INPUT, SAVED_OUTPUT, SAVED_PACKED

cdef struct SavedSlot:
    PyObject* value             # owned
    PyObject* unpack            # owned: the unpack hook of SAVED_PACKED
    int64_t version
    int32_t output_nr
    int8_t kind
    int8_t had_grad_fn

# `grads`: the gradient of each output, borrowed, None where none came. `result`: a place for each edge, NULL at first, for new
# references to the gradients that flow along them.
ctypedef int (*RunFunction)(NodeBase node, PyObject** grads, PyObject** result) except -1

cdef class NodeHooks:
    """Hooks of a node, in the order in which the engine runs them."""
    cdef object tensor_pre      # dict: output number -> dict of tensor hooks
    cdef object pre             # dict of Node.register_prehook
    cdef object retains         # dict: output number -> weakref to the tensor that retains its gradient
    cdef object post            # dict of Node.register_hook

cdef class NodeBase:
    cdef object op              # the Overload (or Function class) that made it
    cdef RunFunction runner     # what backward calls
    cdef object context         # AccumulateGrad: its variable; others: what their runner needs beside tensors
    cdef NodeHooks hooks
    cdef dict extra             # metadata, in anomaly mode the stack of the forward call
    cdef int64_t sequence
    cdef int32_t n_edges, n_outputs, n_saved
    cdef uint32_t needs         # bit i: input i wants a gradient
    cdef bint released
    cdef Edge* edges
    cdef OutputMeta* outputs
    cdef SavedSlot* saved
    cdef Edge inline_edges[3]
    cdef OutputMeta inline_output
    cdef SavedSlot inline_saved[5]
    cdef bint is_accumulator
    cdef object __weakref__

# --- recognising them ------------------------------------------------------------------------
cdef inline bint is_tensor(PyObject* x) noexcept:
    """isinstance(x, TensorBase), which nearly always ends with the first comparison: Tensor is the one heir."""
    return (<PyTypeObject*>Py_TYPE(<object>x)).tp_base == <PyTypeObject*>TensorBase or isinstance(<object>x, TensorBase)

# --- making them -----------------------------------------------------------------------------
cdef Storage new_storage(int64_t nbytes, Device device)
cdef Storage foreign_storage(char* data, int64_t nbytes, Device device, object owner)
cdef TensorBase new_tensor(Storage storage, DType dtype, int ndim, const int64_t* shape, const int64_t* strides,
                           int64_t offset)
cdef TensorBase empty(int ndim, const int64_t* shape, DType dtype, Device device)
cdef TensorBase empty_of_shape(TensorBase like, DType dtype)
cdef TensorBase alias(TensorBase x)
cdef inline char* memory(TensorBase x) noexcept:
    return x.storage.data + x.offset * <int64_t>x.dtype.itemsize
cdef void set_geometry(TensorBase x, int ndim, const int64_t* shape, const int64_t* strides) except *
cdef AutogradMeta meta_of(TensorBase x)
cdef Device device_of(TensorBase x)
cdef int level_of(TensorBase x) noexcept
cdef bint is_contiguous(int ndim, const int64_t* shape, const int64_t* strides) noexcept nogil
cdef void contiguous_strides(int ndim, const int64_t* shape, int64_t* strides) noexcept nogil
cdef void bump(TensorBase x, object writer)
cdef int64_t version_of(TensorBase x) noexcept
cdef tuple shape_tuple(TensorBase x)
cdef tuple int_tuple(int n, const int64_t* values)
cdef void set_tensor_type(object tensor_type, object size_type)
cdef void set_node_type(object node_type)
cdef object tensor_type
cdef object named_pair(object kind, object first, object second)
cdef object size_from(int ndim, const int64_t* dims)

cdef void give(PyObject** result, int i, object grad) noexcept
cdef list call_runner(NodeBase node, list grads)
cdef NodeBase init_node(NodeBase node, object op, int n_edges, int n_outputs, int n_saved)
cdef void set_edge(NodeBase node, int i, NodeBase target, int output_nr)
cdef void set_output(NodeBase node, int i, TensorBase x) except *
cdef NodeBase new_node(object type)
cdef object make_node_type(str name, object base)
cdef bint release_saved(NodeBase node)
cdef int64_t next_sequence() noexcept
cdef int64_t last_sequence() noexcept
ctypedef void (*tg_memory_watch_function)(int64_t nbytes, int64_t total, void* device) noexcept nogil
cdef void watch_memory(tg_memory_watch_function watch) noexcept
