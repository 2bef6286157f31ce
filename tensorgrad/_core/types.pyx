"""The layouts of Storage, Tensor, Node and their kin, and how each of them dies.

Objects come from pools (memory.h). A Tensor, a Node, an AutogradMeta and a ViewStep may hold up a chain a
million links long; their deallocators therefore go through a worklist instead of the C stack.
"""
cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from tensorgrad._core.grad_mode cimport thread_state

import os

ctypedef void (*destructor)(PyObject*) noexcept

cdef extern from *:
    """
    /* While a profiler follows the memory it is told of every block; `device` is NULL for the CPU. */
    typedef void (*tg_memory_watch_function)(int64_t nbytes, int64_t total, void *device);
    static tg_memory_watch_function tg_memory_watch = NULL;
    """
    tg_memory_watch_function tg_memory_watch

cdef extern from "memory.h":
    """
    TG_DEFINE_POOL(tensor)
    TG_DEFINE_POOL(storage)
    TG_DEFINE_POOL(meta)
    TG_DEFINE_POOL(step)
    TG_DEFINE_POOL(node)
    typedef PyObject *(*tg_new_function)(PyTypeObject *, PyObject *, PyObject *);
    static newfunc tg_new_tensor_slot;      /* Tensor's plain tp_new, before it was wrapped for users */
    static void tg_keep_new(PyObject *type) {
        tg_new_tensor_slot = ((PyTypeObject *)type)->tp_new;
        ((PyTypeObject *)type)->tp_base->tp_flags &= ~Py_TPFLAGS_BASETYPE;  /* Tensor is the one heir */
    }
    static inline PyObject *tg_make_tensor(PyObject *type, PyObject *empty) {
        return tg_new_tensor_slot((PyTypeObject *)type, empty, NULL);
    }
    /* The layout alone is no tensor: without a storage every operator would follow a null pointer. */
    static newfunc tg_new_layout;
    static PyTypeObject *tg_layout;
    static PyObject *tg_refuse_layout(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
        if (type == tg_layout) {
            PyErr_SetString(PyExc_TypeError, "cannot create 'TensorBase' instances; use tensorgrad.Tensor");
            return NULL;
        }
        return tg_new_layout(type, args, kwargs);
    }
    static void tg_guard_layout(PyObject *type) {
        tg_layout = (PyTypeObject *)type;
        tg_new_layout = tg_layout->tp_new;
        tg_layout->tp_new = tg_refuse_layout;
        tg_layout->tp_vectorcall = NULL;
    }
    static inline PyObject *tg_make(PyObject *type, PyObject *empty) {
        return ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, empty, NULL);
    }
    static inline PyObject *tg_alloc_items(PyObject *type, Py_ssize_t n) {
        return ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, n);
    }
    /* A `cdef dict __dict__` would be made with every tensor; Python's own protocol makes one when it is needed. */
    static PyGetSetDef tg_dict_property = {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL};
    static int tg_give_dict(PyObject *type, Py_ssize_t offset) {
        PyTypeObject *t = (PyTypeObject *)type;
        PyObject *descriptor = PyDescr_NewGetSet(t, &tg_dict_property);
        if (descriptor == NULL) return -1;
        t->tp_dictoffset = offset;
        int status = PyDict_SetItemString(t->tp_dict, "__dict__", descriptor);
        Py_DECREF(descriptor);
        PyType_Modified(t);
        return status;
    }
    static inline int tg_is_heap_type(PyObject *o) { return Py_TYPE(o)->tp_flags & Py_TPFLAGS_HEAPTYPE ? 1 : 0; }
    static inline PyObject *tg_type_of(PyObject *o) { return (PyObject *)Py_TYPE(o); }
    /* numel *= size; 1 where no tensor is that large. */
    static inline int tg_grows_too_large(int64_t *numel, int64_t size) {
        return (size < 0) | __builtin_mul_overflow(*numel, size, numel);
    }
    """
    ctypedef struct tg_memory_stats:
        int64_t live, peak, cached, limit, allocations, system_calls, retries
        int off, huge_pages
    tg_memory_stats tg_memory
    char* tg_block_alloc(int64_t nbytes)
    void tg_block_free(char* block, int64_t nbytes)
    void tg_blocks_release(int64_t keep)
    void tg_blocks_watch_fork()
    void tg_install_tensor(object type)
    void tg_install_storage(object type)
    void tg_install_meta(object type)
    void tg_install_step(object type)
    void tg_install_node(object type)
    void tg_bury(PyObject* o, destructor dealloc) noexcept
    object tg_make(PyObject* type, tuple empty)
    object tg_make_tensor(PyObject* type, tuple empty)
    object tg_alloc_items(PyObject* type, Py_ssize_t n)
    int tg_give_dict(object type, Py_ssize_t offset) except -1
    void tg_keep_new(object type)
    void tg_guard_layout(object type)
    int tg_is_heap_type(PyObject* o) noexcept
    PyObject* tg_type_of(PyObject* o) noexcept
    bint tg_grows_too_large(int64_t* numel, int64_t size) noexcept
    void PyObject_GC_UnTrack(PyObject* o)

cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object items) noexcept

cdef extern from *:
    ctypedef int (*visitproc)(PyObject*, void*) noexcept
    ctypedef int (*traverseproc)(PyObject*, visitproc, void*) noexcept
    ctypedef struct _TypeSlots "PyTypeObject":
        destructor tp_dealloc
        traverseproc tp_traverse
        int (*tp_clear)(PyObject*) noexcept

tg_memory.off = os.environ.get("TENSORGRAD_NO_POOL", "0") not in ("", "0")
tg_memory.huge_pages = os.environ.get("TENSORGRAD_HUGE_PAGES", "1") not in ("", "0")
tg_blocks_watch_fork()

cdef tuple _empty_tuple = ()


class OutOfMemoryError(RuntimeError):
    """A tensor's memory could not be allocated."""


@cython.no_gc
cdef class Storage:
    def __init__(self, *args, **kwargs):
        raise TypeError("storages are made by tensors: use x.untyped_storage()")

    def __len__(self):
        return self.length

    def nbytes(self):
        """The size in bytes."""
        return self.length

    size = nbytes

    def data_ptr(self):
        """The address of the first byte; zero on a device whose memory the CPU cannot follow."""
        return <size_t>self.data

    @property
    def device(self):
        return self.device


@cython.no_gc
cdef class VersionCounter:
    pass


cdef class Wrap:
    pass


cdef class AutogradMeta:
    pass


cdef class ViewStep:
    pass


cdef class TensorBase:
    pass


cdef class NodeHooks:
    pass


cdef class NodeBase:
    pass


# ---- how they die -----------------------------------------------------------------------------
cdef destructor _tensor_dealloc = (<_TypeSlots*><PyObject*>TensorBase).tp_dealloc
cdef traverseproc _tensor_traverse = (<_TypeSlots*><PyObject*>TensorBase).tp_traverse
cdef int (*_tensor_clear)(PyObject*) noexcept
_tensor_clear = (<_TypeSlots*><PyObject*>TensorBase).tp_clear
cdef destructor _meta_dealloc = (<_TypeSlots*><PyObject*>AutogradMeta).tp_dealloc
cdef destructor _step_dealloc = (<_TypeSlots*><PyObject*>ViewStep).tp_dealloc
cdef destructor _storage_dealloc = (<_TypeSlots*><PyObject*>Storage).tp_dealloc
cdef destructor _node_dealloc = (<_TypeSlots*><PyObject*>NodeBase).tp_dealloc
cdef traverseproc _node_traverse = (<_TypeSlots*><PyObject*>NodeBase).tp_traverse
cdef int (*_node_clear)(PyObject*) noexcept
_node_clear = (<_TypeSlots*><PyObject*>NodeBase).tp_clear


cdef void drop_attributes(PyObject* o) noexcept:
    cdef PyObject* attributes = (<TensorBase>o).attributes
    (<TensorBase>o).attributes = NULL
    Py_XDECREF(attributes)


cdef void dealloc_tensor_now(PyObject* o) noexcept:
    if (<TensorBase>o).attributes != NULL:
        PyObject_GC_UnTrack(o)
        drop_attributes(o)
    _tensor_dealloc(o)


cdef void bury_tensor(PyObject* o) noexcept:
    tg_bury(o, dealloc_tensor_now)


cdef int traverse_tensor(PyObject* o, visitproc visit, void* arg) noexcept:
    cdef int r
    if (<TensorBase>o).attributes != NULL:
        r = visit((<TensorBase>o).attributes, arg)
        if r:
            return r
    return _tensor_traverse(o, visit, arg)


cdef int clear_tensor(PyObject* o) noexcept:
    drop_attributes(o)
    return _tensor_clear(o)


cdef void bury_meta(PyObject* o) noexcept:
    tg_bury(o, _meta_dealloc)


cdef void bury_step(PyObject* o) noexcept:
    tg_bury(o, _step_dealloc)


cdef void free_storage(PyObject* o) noexcept:
    if (<Storage>o).owns:
        tg_block_free((<Storage>o).data, (<Storage>o).length)
        if tg_memory_watch != NULL:
            tg_memory_watch(-(<Storage>o).length, tg_memory.live, NULL)
    elif <PyObject*>(<Storage>o).handle != <PyObject*>None:
        free_handle(o)
    _storage_dealloc(o)


cdef void free_handle(PyObject* o) noexcept:
    # A plugin's free() may fail, and may run while an exception is on its way.
    cdef PyObject* kind
    cdef PyObject* value
    cdef PyObject* trace
    PyErr_Fetch(&kind, &value, &trace)
    call_free(o)
    PyErr_Restore(kind, value, trace)


cdef void call_free(PyObject* o) noexcept:
    # `o` is dead and must not be referenced; what is raised here goes to sys.unraisablehook
    handle = (<Storage>o).handle
    where = (<Storage>o).device
    if tg_memory_watch != NULL:
        tg_memory_watch(-(<Storage>o).length, 0, <PyObject*>where)
    (<Device>where).backend.free(handle, (<Storage>o).length, (<Device>where).number)


cdef void clear_node_arrays(PyObject* o) noexcept:
    cdef int i, n
    cdef PyObject* x
    n = (<NodeBase>o).n_edges
    (<NodeBase>o).n_edges = 0
    for i in range(n):
        x = (<NodeBase>o).edges[i].node
        (<NodeBase>o).edges[i].node = NULL
        Py_XDECREF(x)
    n = (<NodeBase>o).n_saved
    (<NodeBase>o).n_saved = 0
    for i in range(n):
        x = (<NodeBase>o).saved[i].value
        (<NodeBase>o).saved[i].value = NULL
        Py_XDECREF(x)
        x = (<NodeBase>o).saved[i].unpack
        (<NodeBase>o).saved[i].unpack = NULL
        Py_XDECREF(x)


cdef void forget_accumulator(PyObject* o) noexcept:
    """The variable's reference to its AccumulateGrad is borrowed. The collector may have cut the link already."""
    if (<NodeBase>o).is_accumulator and (<NodeBase>o).context is not None \
            and (<TensorBase>(<NodeBase>o).context).meta is not None:
        (<TensorBase>(<NodeBase>o).context).meta.accumulator = NULL


cdef void dealloc_node_now(PyObject* o) noexcept:
    cdef int i
    PyObject_GC_UnTrack(o)
    forget_accumulator(o)
    clear_node_arrays(o)
    if (<NodeBase>o).edges != NULL and (<NodeBase>o).edges != &(<NodeBase>o).inline_edges[0]:
        free((<NodeBase>o).edges)
    if (<NodeBase>o).saved != NULL and (<NodeBase>o).saved != &(<NodeBase>o).inline_saved[0]:
        free((<NodeBase>o).saved)
    if (<NodeBase>o).outputs != NULL:
        for i in range((<NodeBase>o).n_outputs):
            free((<NodeBase>o).outputs[i].big)
        if (<NodeBase>o).outputs != &(<NodeBase>o).inline_output:
            free((<NodeBase>o).outputs)
    _node_dealloc(o)


cdef void bury_node(PyObject* o) noexcept:
    tg_bury(o, dealloc_node_now)


cdef void dealloc_operator_node(PyObject* o) noexcept:
    """For node types made at run time: an instance owns a reference to its type."""
    cdef PyObject* type = tg_type_of(o)
    tg_bury(o, dealloc_node_now)
    Py_XDECREF(type)


cdef int traverse_node(PyObject* o, visitproc visit, void* arg) noexcept:
    cdef int i, r
    for i in range((<NodeBase>o).n_edges):
        if (<NodeBase>o).edges[i].node != NULL:
            r = visit((<NodeBase>o).edges[i].node, arg)
            if r:
                return r
    for i in range((<NodeBase>o).n_saved):
        if (<NodeBase>o).saved[i].value != NULL:
            r = visit((<NodeBase>o).saved[i].value, arg)
            if r:
                return r
        if (<NodeBase>o).saved[i].unpack != NULL:
            r = visit((<NodeBase>o).saved[i].unpack, arg)
            if r:
                return r
    return _node_traverse(o, visit, arg)


cdef int traverse_operator_node(PyObject* o, visitproc visit, void* arg) noexcept:
    cdef int r = visit(tg_type_of(o), arg)
    return r if r else traverse_node(o, visit, arg)


cdef int clear_node(PyObject* o) noexcept:
    forget_accumulator(o)
    clear_node_arrays(o)
    return _node_clear(o)


cdef TensorBase _layout = tg_make(<PyObject*>TensorBase, ())
tg_give_dict(TensorBase, <char*>&_layout.attributes - <char*><PyObject*>_layout)
_layout = None
tg_install_tensor(TensorBase)
tg_guard_layout(TensorBase)
tg_install_meta(AutogradMeta)
tg_install_step(ViewStep)
tg_install_storage(Storage)
tg_install_node(NodeBase)
(<_TypeSlots*><PyObject*>TensorBase).tp_dealloc = bury_tensor
(<_TypeSlots*><PyObject*>TensorBase).tp_traverse = traverse_tensor
(<_TypeSlots*><PyObject*>TensorBase).tp_clear = clear_tensor
(<_TypeSlots*><PyObject*>AutogradMeta).tp_dealloc = bury_meta
(<_TypeSlots*><PyObject*>ViewStep).tp_dealloc = bury_step
(<_TypeSlots*><PyObject*>Storage).tp_dealloc = free_storage
(<_TypeSlots*><PyObject*>NodeBase).tp_dealloc = bury_node
(<_TypeSlots*><PyObject*>NodeBase).tp_traverse = traverse_node
(<_TypeSlots*><PyObject*>NodeBase).tp_clear = clear_node


# ---- making them ------------------------------------------------------------------------------
tensor_type = None
cdef object _size_type = tuple
cdef PyObject* _tensor_type = NULL


cdef void set_tensor_type(object type, object size_type):
    """`Tensor` is defined above this floor; tensors made here are instances of it all the same."""
    global tensor_type, _tensor_type, _size_type
    tensor_type = type
    _tensor_type = <PyObject*>type
    _size_type = size_type
    tg_install_tensor(type)
    tg_keep_new(type)
    (<_TypeSlots*>_tensor_type).tp_dealloc = bury_tensor
    (<_TypeSlots*>_tensor_type).tp_traverse = traverse_tensor
    (<_TypeSlots*>_tensor_type).tp_clear = clear_tensor


cdef void set_node_type(object type):
    """The same for a subclass of NodeBase that adds no field."""
    tg_install_node(type)
    (<_TypeSlots*><PyObject*>type).tp_dealloc = bury_node
    (<_TypeSlots*><PyObject*>type).tp_traverse = traverse_node
    (<_TypeSlots*><PyObject*>type).tp_clear = clear_node


cdef Storage new_storage(int64_t nbytes, Device device):
    cdef Storage s = Storage.__new__(Storage)
    s.device = device
    s.length = nbytes
    if device.table != NULL:
        if nbytes < 0 or nbytes > <int64_t>1 << 56:
            raise OutOfMemoryError(f"can't allocate memory: you tried to allocate {nbytes} bytes")
        s.data = tg_block_alloc(nbytes)
        if s.data == NULL:
            raise OutOfMemoryError(f"can't allocate memory: you tried to allocate {nbytes} bytes")
        s.owns = 1
        if tg_memory_watch != NULL:
            tg_memory_watch(nbytes, tg_memory.live, NULL)
    else:
        try:
            s.handle = device.backend.allocate(nbytes, device.number)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"{device} out of memory: you tried to allocate {nbytes} bytes") from error
        if tg_memory_watch != NULL:
            tg_memory_watch(nbytes, 0, <PyObject*>device)
    return s


cdef void watch_memory(tg_memory_watch_function watch) noexcept:
    """Call a function for every block that is allocated and freed, or no more (NULL)."""
    global tg_memory_watch
    tg_memory_watch = watch


cdef Storage foreign_storage(char* data, int64_t nbytes, Device device, object owner):
    cdef Storage s = Storage.__new__(Storage)
    s.device, s.length, s.data, s.owner = device, nbytes, data, owner
    return s


cdef bint is_contiguous(int ndim, const int64_t* shape, const int64_t* strides) noexcept nogil:
    cdef int64_t expected = 1
    cdef int d
    for d in range(ndim - 1, -1, -1):
        if shape[d] == 0:
            return True
    for d in range(ndim - 1, -1, -1):
        if shape[d] != 1:
            if strides[d] != expected:
                return False
            expected *= shape[d]
    return True


cdef void contiguous_strides(int ndim, const int64_t* shape, int64_t* strides) noexcept nogil:
    cdef int64_t step = 1
    cdef int d
    for d in range(ndim - 1, -1, -1):
        strides[d] = step
        if shape[d] > 1:
            step *= shape[d]


cdef int _check_sizes(int ndim, const int64_t* shape) except -1:
    """Raise unless some size is zero, which makes the number of elements zero whatever the others are."""
    cdef list sizes = [shape[d] for d in range(ndim)]
    for size in sizes:
        if size < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {sizes}")
    if 0 not in sizes:
        raise RuntimeError(f"numel: integer multiplication overflow: no tensor has as many elements as one of shape {sizes}")
    return 0


cdef void set_geometry(TensorBase x, int ndim, const int64_t* shape, const int64_t* strides) except *:
    cdef int64_t numel = 1
    cdef int d
    for d in range(ndim):       # before anything is changed
        if tg_grows_too_large(&numel, shape[d]):
            _check_sizes(ndim, shape)
            numel = 0
            break
    if ndim <= INLINE_DIMS:
        x.shape = &x.dims[0]
        x.strides = &x.dims[INLINE_DIMS]
    else:
        if ndim > MAX_DIMS:
            raise RuntimeError(f"tensors have at most {MAX_DIMS} dimensions, got {ndim}")
        x.big_dims = bytearray(2 * ndim * sizeof(int64_t))
        x.shape = <int64_t*>PyByteArray_AS_STRING(x.big_dims)
        x.strides = x.shape + ndim
    x.ndim = ndim
    for d in range(ndim):
        x.shape[d] = shape[d]
        x.strides[d] = strides[d]
    x.numel = numel
    if is_contiguous(ndim, shape, strides):
        x.flags |= CONTIGUOUS
    else:
        x.flags &= ~<uint32_t>CONTIGUOUS


cdef TensorBase new_tensor(Storage storage, DType dtype, int ndim, const int64_t* shape, const int64_t* strides,
                           int64_t offset):
    cdef TensorBase x = tg_make_tensor(_tensor_type, _empty_tuple)
    x.storage, x.dtype, x.offset = storage, dtype, offset
    set_geometry(x, ndim, shape, strides)
    if thread_state().inference:
        x.flags |= INFERENCE
    elif storage is not None:
        x.version = &storage.version
    return x


cdef int _refuse_size(int ndim, const int64_t* shape) except -1:
    _check_sizes(ndim, shape)
    raise RuntimeError(f"Storage size calculation overflowed with sizes={[shape[i] for i in range(ndim)]}")


cdef TensorBase empty(int ndim, const int64_t* shape, DType dtype, Device device):
    """An uninitialised, contiguous tensor."""
    cdef TensorBase x
    cdef int64_t numel = 1, step = 1
    cdef int d
    if ndim > INLINE_DIMS:
        return _empty_big(ndim, shape, dtype, device)
    x = tg_make_tensor(_tensor_type, _empty_tuple)
    x.shape = &x.dims[0]
    x.strides = &x.dims[INLINE_DIMS]
    for d in range(ndim - 1, -1, -1):
        if tg_grows_too_large(&numel, shape[d]) or numel > <int64_t>1 << 58:
            _refuse_size(ndim, shape)
        x.shape[d] = shape[d]
        x.strides[d] = step
        if shape[d] > 1:
            step *= shape[d]
    x.ndim, x.numel, x.dtype, x.flags = ndim, numel, dtype, CONTIGUOUS
    x.storage = new_storage(numel * dtype.itemsize, device)
    if thread_state().inference:
        x.flags |= INFERENCE
    else:
        x.version = &x.storage.version
    return x


cdef TensorBase empty_of_shape(TensorBase like, DType dtype):
    """An uninitialised, contiguous tensor of another's shape, of at most INLINE_DIMS dimensions, on its device."""
    cdef TensorBase x = tg_make_tensor(_tensor_type, _empty_tuple)
    cdef int64_t step = 1
    cdef int d
    x.shape, x.strides = &x.dims[0], &x.dims[INLINE_DIMS]
    for d in range(like.ndim - 1, -1, -1):
        x.dims[d], x.dims[INLINE_DIMS + d] = like.dims[d], step
        if like.dims[d]:
            step *= like.dims[d]
    x.ndim, x.numel, x.dtype, x.flags = like.ndim, like.numel, dtype, CONTIGUOUS
    x.storage = new_storage(like.numel * dtype.itemsize, like.storage.device)
    if thread_state().inference:
        x.flags |= INFERENCE
    else:
        x.version = &x.storage.version
    return x


cdef TensorBase _empty_big(int ndim, const int64_t* shape, DType dtype, Device device):
    cdef int64_t strides[64]
    cdef int64_t numel = 1
    cdef int d
    if ndim > MAX_DIMS:
        raise RuntimeError(f"tensors have at most {MAX_DIMS} dimensions, got {ndim}")
    for d in range(ndim):
        if tg_grows_too_large(&numel, shape[d]) or numel > <int64_t>1 << 58:
            _refuse_size(ndim, shape)
    contiguous_strides(ndim, shape, strides)
    return new_tensor(new_storage(numel * dtype.itemsize, device), dtype, ndim, shape, strides, 0)


cdef TensorBase alias(TensorBase x):
    """A tensor of the same memory, geometry and version counter, with no history."""
    cdef TensorBase y = new_tensor(x.storage, x.dtype, x.ndim, x.shape, x.strides, x.offset)
    if x.wrap is not None:
        y.wrap = x.wrap
        y.flags |= WRAPPED
    y.flags |= x.flags & INFERENCE
    y.version = x.version
    if x.meta is not None and x.meta.versions is not None:
        meta_of(y).versions = x.meta.versions
    return y


cdef AutogradMeta meta_of(TensorBase x):
    if x.meta is None:
        x.meta = AutogradMeta.__new__(AutogradMeta)
    return x.meta


cdef Device device_of(TensorBase x):
    while x.wrap is not None:
        x = x.wrap.value
    return x.storage.device


cdef int level_of(TensorBase x) noexcept:
    return 0 if x.wrap is None else x.wrap.level


cdef void bump(TensorBase x, object writer):
    """Count a write to `x`; `writer` is the operator (operators live as long as the library)."""
    if x.version != NULL:
        x.version[0] += 1
    if x.storage is not None:
        x.storage.writer = <PyObject*>writer


cdef int64_t version_of(TensorBase x) noexcept:
    return 0 if x.version == NULL else x.version[0]


cdef tuple int_tuple(int n, const int64_t* values):
    cdef tuple result = PyTuple_New(n)
    cdef object item
    cdef int i
    for i in range(n):
        item = values[i]
        Py_INCREF(item)
        PyTuple_SET_ITEM(result, i, item)
    return result


cdef object size_from(int ndim, const int64_t* dims):
    """A Size: a subclass of tuple that adds no field, filled as a tuple is."""
    cdef object result = tg_alloc_items(<PyObject*>_size_type, ndim)
    cdef object item
    cdef int i
    for i in range(ndim):
        item = dims[i]
        Py_INCREF(item)
        PyTuple_SET_ITEM(result, i, item)
    return result


cdef object named_pair(object kind, object first, object second):
    """One of `return_types` that holds two tensors."""
    cdef object result = tg_alloc_items(<PyObject*>kind, 2)
    Py_INCREF(first)
    PyTuple_SET_ITEM(result, 0, first)
    Py_INCREF(second)
    PyTuple_SET_ITEM(result, 1, second)
    return result


cdef tuple shape_tuple(TensorBase x):
    return int_tuple(x.ndim, x.shape)


# ---- nodes ------------------------------------------------------------------------------------
cdef int64_t _sequence = 0


cdef int64_t next_sequence() noexcept:
    global _sequence
    _sequence += 1
    return _sequence


cdef int64_t last_sequence() noexcept:
    return _sequence


cdef object make_node_type(str name, object base):
    """A type of its own for the nodes of one operator, so that `type(x.grad_fn).__name__` says what it is."""
    made = type(name, (base,), {"__slots__": (), "__module__": "tensorgrad.autograd.graph"})
    tg_install_node(made)
    (<_TypeSlots*><PyObject*>made).tp_dealloc = dealloc_operator_node
    (<_TypeSlots*><PyObject*>made).tp_traverse = traverse_operator_node
    (<_TypeSlots*><PyObject*>made).tp_clear = clear_node
    return made


cdef NodeBase new_node(object type):
    """An instance of a node type, without a Python call."""
    return tg_make(<PyObject*>type, _empty_tuple)


cdef NodeBase init_node(NodeBase node, object op, int n_edges, int n_outputs, int n_saved):
    global _sequence
    _sequence += 1
    node.sequence = _sequence
    node.op = op
    node.edges = &node.inline_edges[0]
    node.outputs = &node.inline_output
    node.saved = &node.inline_saved[0]
    if n_edges > INLINE_EDGES:
        node.edges = <Edge*>calloc(n_edges, sizeof(Edge))
    if n_outputs > 1:
        node.outputs = <OutputMeta*>calloc(n_outputs, sizeof(OutputMeta))
    if n_saved > INLINE_SAVED:
        node.saved = <SavedSlot*>calloc(n_saved, sizeof(SavedSlot))
    if node.edges == NULL or node.outputs == NULL or node.saved == NULL:
        raise MemoryError("out of memory while recording a node")
    node.n_edges, node.n_outputs, node.n_saved = n_edges, n_outputs, n_saved
    return node


cdef void give(PyObject** result, int i, object grad) noexcept:
    """Put a gradient, or None, in the place of edge `i`."""
    if grad is not None:
        Py_INCREF(grad)
        result[i] = <PyObject*>grad


cdef list call_runner(NodeBase node, list grads):
    """What a node makes of the gradients of its outputs: one for each edge, or None."""
    cdef list result = [None] * node.n_edges
    cdef PyObject** found = <PyObject**>calloc(node.n_edges + 1, sizeof(PyObject*))
    cdef int i
    if found == NULL:
        raise MemoryError("out of memory in backward")
    if len(grads) != node.n_outputs:
        free(found)
        raise RuntimeError(f"{type(node).__name__} wants the gradients of {node.n_outputs} outputs, got {len(grads)}")
    for grad in grads:
        if grad is not None and not isinstance(grad, TensorBase):
            free(found)
            raise TypeError(f"{type(node).__name__} wants gradients that are tensors or None, not {type(grad).__name__}")
    try:
        node.runner(node, PySequence_Fast_ITEMS(grads), found)
        for i in range(node.n_edges):
            if found[i] != NULL:
                result[i] = <object>found[i]
        return result
    finally:
        for i in range(node.n_edges):
            Py_XDECREF(found[i])
        free(found)


cdef void set_edge(NodeBase node, int i, NodeBase target, int output_nr):
    cdef PyObject* old = node.edges[i].node
    if target is None:
        node.edges[i].node = NULL
    else:
        node.edges[i].node = <PyObject*>target
        Py_INCREF(target)
    node.edges[i].output_nr = output_nr
    Py_XDECREF(old)


cdef void set_output(NodeBase node, int i, TensorBase x) except *:
    cdef OutputMeta* m = &node.outputs[i]
    cdef Device device = x.storage.device if x.storage is not None else device_of(x)
    m.dtype = <PyObject*>x.dtype
    m.device = <PyObject*>device
    m.ndim = x.ndim
    m.level = 0 if x.wrap is None else x.wrap.level
    m.is_view = (x.flags & IS_VIEW) != 0
    if x.ndim <= INLINE_DIMS:
        memcpy(&m.dims[0], &x.dims[0], INLINE_DIMS * sizeof(int64_t))      # all of them: a length known in advance
    else:
        m.big = <int64_t*>malloc(x.ndim * sizeof(int64_t))
        if m.big == NULL:
            raise MemoryError("out of memory while recording a node")
        memcpy(m.big, x.shape, x.ndim * sizeof(int64_t))


cdef bint release_saved(NodeBase node):
    """Drop the tensors that the node saved, so that memory goes as backward passes; True if there were any, after
    which running the node again is an error. Shapes and numbers stay."""
    cdef int i
    cdef bint any_released = False
    cdef PyObject* x
    cdef PyObject* unpack
    for i in range(node.n_saved):
        if node.saved[i].kind == SAVED_NONE or node.saved[i].kind == SAVED_OBJECT:
            continue
        any_released = True
        x = node.saved[i].value
        unpack = node.saved[i].unpack
        node.saved[i].value = NULL
        node.saved[i].unpack = NULL
        node.saved[i].kind = SAVED_NONE
        Py_XDECREF(x)
        Py_XDECREF(unpack)
    return any_released


# ---- statistics ----------------------------------------------------------------------------------
def memory_stats():
    """Bytes and counts of the CPU's block allocator: live, peak, cached, limit, allocations, system_calls, retries."""
    return {"live": tg_memory.live, "peak": tg_memory.peak, "cached": tg_memory.cached, "limit": tg_memory.limit,
            "allocations": tg_memory.allocations, "system_calls": tg_memory.system_calls, "retries": tg_memory.retries}


def reset_peak():
    tg_memory.peak = tg_memory.live


def empty_cache():
    """Give cached blocks back to the system."""
    tg_blocks_release(0)


def set_cache_limit(int64_t nbytes):
    if nbytes < 0:
        raise ValueError(f"the cache limit must not be negative, got {nbytes}")
    tg_memory.limit = nbytes
    if tg_memory.cached > nbytes:
        tg_blocks_release(nbytes)
