"""The profiler's notebook: events and memory records of every thread, in C arrays.

`start` and `stop` delimit a profile; several may be open at a time, each sees its own part of the arrays,
which are emptied when the last one has stopped. What the events mean, and how they are shown, is said in
`tensorgrad.autograd.profiler`.
"""
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from tensorgrad._core.device cimport device as Device
from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.types cimport last_sequence, watch_memory

import os
import sys
import warnings

from tensorgrad._core.locks import Lock

cdef extern from "profiler.h":
    ctypedef struct tg_event:
        int64_t start, end, sequence, cpu_bytes, device_bytes
        PyObject* name
        PyObject* details
        int32_t parent, kind
    ctypedef struct tg_memory_record:
        int64_t time, bytes, total
        void* device
        int32_t event
    ctypedef struct tg_profiled_thread:
        tg_event* events
        tg_memory_record* records
        int64_t n_events, n_records, dropped, last
        long native_id
        PyObject* thread_name
        tg_profiled_thread* next
    tg_profiled_thread* tg_profiled_threads
    tg_profiled_thread* tg_this_profiled
    int tg_profilers
    int64_t tg_profile_bound
    int tg_profiler_init()
    tg_profiled_thread* tg_register_thread(tg_thread_state* state)
    void tg_count_profilers(int step)
    int64_t tg_begin_event(tg_profiled_thread* t, PyObject* name, int kind, int64_t sequence, PyObject* details)
    tg_event* tg_open_event(tg_profiled_thread* t, int64_t token)
    void tg_end_event(tg_profiled_thread* t, int64_t token, int64_t sequence)
    int64_t tg_innermost(tg_profiled_thread* t)
    void tg_end_inside(tg_profiled_thread* t, int64_t token)
    void tg_record_memory(int64_t nbytes, int64_t total, void* device) noexcept nogil
    void tg_clear_events()
    void tg_lock_events(tg_profiled_thread* t)
    void tg_unlock_events(tg_profiled_thread* t)
    int64_t tg_nanoseconds()
    int64_t tg_epoch_nanoseconds()

cdef enum:
    MAX_STACK = 64      # frames

if tg_profiler_init() != 0:
    raise MemoryError("out of memory: the profiler could not be set up")
if tg_register_thread(thread_state()) == NULL:
    raise MemoryError("out of memory: the profiler could not be set up")

_changing = Lock()


def _forget_lock():
    """After a fork: a thread that held the lock is not in the child."""
    global _changing
    _changing = Lock()


os.register_at_fork(after_in_child=_forget_lock)
cdef list _running = []             # the Recordings in progress
cdef bint _shapes = False
cdef bint _stacks = False
cdef dict _timed = {}               # device type -> backend whose kernels are timed by its own events


# ---- what is recorded -------------------------------------------------------------------------------
cdef tg_profiled_thread* _this_thread(tg_thread_state* st) except NULL:
    """This thread's arrays."""
    cdef tg_profiled_thread* t = tg_this_profiled
    if t == NULL:
        t = tg_register_thread(st)
        if t == NULL:
            raise MemoryError("out of memory: the profiler could not follow a thread")
    if t.thread_name == NULL and tg_profilers:
        import threading        # only while something is profiled
        name = threading.current_thread().name
        Py_INCREF(name)
        t.thread_name = <PyObject*>name
    return t


cdef object _shape_of(object x):
    if isinstance(x, TensorBase):
        return tuple([(<TensorBase>x).shape[d] for d in range((<TensorBase>x).ndim)])
    if isinstance(x, (tuple, list)) and x and isinstance(x[0], TensorBase):
        return [_shape_of(t) for t in x]
    return ()


cdef tuple _stack():
    """The Python frames of the caller, innermost first, but for those of the profiler itself."""
    cdef list found = []
    try:
        frame = sys._getframe(0)
    except ValueError:
        return ()
    while frame is not None and len(found) < MAX_STACK:
        code = frame.f_code
        if frame.f_globals.get("__name__") not in _own_modules:
            found.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return tuple(found)


_own_modules = ("tensorgrad.autograd.profiler", "tensorgrad.profiler")


cdef PyObject* _details(PyObject** a, int n) except? NULL:
    """A new reference to (shapes, stack), or NULL when neither is wanted."""
    cdef tuple details
    cdef int i
    if not _shapes and not _stacks:
        return NULL
    details = ([_shape_of(<object>a[i]) for i in range(n)] if _shapes else None, _stack() if _stacks else None)
    Py_INCREF(details)
    return <PyObject*>details


cdef int64_t begin_operator(tg_thread_state* st, str name, PyObject** a, int n) except? -2:
    cdef tg_profiled_thread* t = _this_thread(st)
    if not tg_profilers:
        return -1
    return tg_begin_event(t, <PyObject*>name, EVENT_OPERATOR, -2 - last_sequence(), _details(a, n))


cdef int64_t begin_function(tg_thread_state* st, str name, tuple args) except? -2:
    cdef tg_profiled_thread* t = _this_thread(st)
    cdef PyObject* details = NULL
    if not tg_profilers:
        return -1
    if _shapes or _stacks:
        known = ([_shape_of(x) for x in args] if _shapes else None, _stack() if _stacks else None)
        Py_INCREF(known)
        details = <PyObject*>known
    return tg_begin_event(t, <PyObject*>name, EVENT_FUNCTION, -2 - last_sequence(), details)


cdef int64_t begin_evaluation(tg_thread_state* st, NodeBase node) except? -2:
    cdef tg_profiled_thread* t = _this_thread(st)
    if not tg_profilers:
        return -1
    name = type(node).__name__
    return tg_begin_event(t, <PyObject*>name, EVENT_EVALUATE, -1, NULL)


cdef int64_t begin_node(tg_thread_state* st, NodeBase node, list grads) except? -2:
    cdef tg_profiled_thread* t = _this_thread(st)
    cdef PyObject* details = NULL
    cdef tuple known
    if not tg_profilers:
        return -1
    if _shapes:
        known = ([_shape_of(g) for g in grads], None)
        Py_INCREF(known)
        details = <PyObject*>known
    name = type(node).__name__
    return tg_begin_event(t, <PyObject*>name, EVENT_ACCUMULATE if node.is_accumulator else EVENT_NODE,
                          -1 if node.is_accumulator else node.sequence, details)


cdef int64_t begin_kernel(tg_thread_state* st, TensorBase x, str method, str name) except? -2:
    """A call of a plugin's kernel; with events of the device around it when these are wanted and offered."""
    cdef tg_profiled_thread* t = _this_thread(st)
    cdef Device device
    cdef tuple details
    if not tg_profilers or x.storage is None:
        return -1
    device = x.storage.device
    start = end = None
    backend = _timed.get(device.type)
    if backend is not None:
        start, end = _record_start(backend, device.number)
    details = (method, str(device), start, end)
    Py_INCREF(details)
    return tg_begin_event(t, <PyObject*>name, EVENT_KERNEL, -1, <PyObject*>details)


cdef tuple _record_start(backend, int number):
    if getattr(backend, "event", None) is None or getattr(backend, "current_stream", None) is None:
        return None, None       # such a device is timed by the clock of the CPU
    try:
        start, end = backend.event(True), backend.event(True)
        start.record(backend.current_stream(number))
    except Exception as error:      # the kernel can do without being timed
        warnings.warn(f"the profiler could not time a kernel: {error}")
        return None, None
    return start, (end, backend, number)


cdef class KernelCall:
    """Calls a plugin's kernel as an event."""
    cdef object function
    cdef TensorBase x
    cdef str method, name

    def __call__(self, *args):
        cdef int64_t event = begin_kernel(thread_state(), self.x, self.method, self.name)
        try:
            return self.function(*args)
        finally:
            end_kernel(event)


cdef object profiled_kernel(object function, TensorBase x, str method, str name):
    cdef KernelCall call
    if function is None:
        return None
    call = KernelCall.__new__(KernelCall)
    call.function, call.x, call.method, call.name = function, x, method, name
    return call


cdef void end_event(int64_t event) noexcept:
    cdef tg_event* e = tg_open_event(tg_this_profiled, event)
    if e != NULL:
        tg_end_event(tg_this_profiled, event, e.sequence)


cdef void end_kernel(int64_t event) noexcept:
    cdef tg_event* e = tg_open_event(tg_this_profiled, event)
    if e == NULL:
        return
    details = <tuple>e.details
    tg_end_event(tg_this_profiled, event, -1)
    if details[3] is not None:
        end, backend, number = details[3]
        try:
            end.record(backend.current_stream(number))
        except Exception as error:      # the kernel's result stands; only its time is lost
            warnings.warn(f"the profiler could not time a kernel on {details[1]}: {error}")


cdef void end_operator(int64_t event, object result) noexcept:
    """Ends an operator's event, and connects it with the node that it recorded, if it did."""
    cdef tg_event* e = tg_open_event(tg_this_profiled, event)
    cdef int64_t sequence = -1
    if e == NULL:
        return
    if isinstance(result, tuple) and result:
        result = (<tuple>result)[0]
    if isinstance(result, TensorBase) and (<TensorBase>result).grad_fn is not None:
        sequence = (<TensorBase>result).grad_fn.sequence
        if sequence <= -2 - e.sequence:     # an older node: the operator returned its argument
            sequence = -1
    tg_end_event(tg_this_profiled, event, sequence)


cdef int64_t innermost_event() noexcept:
    return tg_innermost(tg_this_profiled)


cdef void end_events_inside(int64_t event) noexcept:
    tg_end_inside(tg_this_profiled, event)


# ---- the same for Python ------------------------------------------------------------------------------
def is_running():
    """Whether a profiler is running."""
    return tg_profilers > 0


def begin_user(str name, bint runtime=False, args=None):
    """Begin an event that a program names; returns what `end_user` takes. `args` is shown in the trace."""
    cdef tg_profiled_thread* t
    cdef PyObject* details = NULL
    if not tg_profilers:
        return -1
    t = _this_thread(thread_state())
    if _stacks or args is not None:
        known = (None, _stack() if _stacks else None, args)
        Py_INCREF(known)
        details = <PyObject*>known
    return tg_begin_event(t, <PyObject*>name, EVENT_RUNTIME if runtime else EVENT_USER, -1, details)


def end_user(int64_t event):
    """End it, if it is open in this thread; events that were begun inside it end, too."""
    if event >= 0:
        end_event(event)


# ---- profiles -----------------------------------------------------------------------------------------
cdef class Recording:
    """What one profile asks for, and where its part of each thread's arrays begins."""
    cdef bint shapes, stacks, memory
    cdef str device_type
    cdef object backend
    cdef int64_t start_time, epoch, bound
    cdef dict marks         # address of a thread's arrays -> (events, records, dropped) at the start


cdef int _apply() except -1:
    """Record what any of the running profiles asks for."""
    global _shapes, _stacks, tg_profile_bound
    cdef Recording r
    cdef bint memory = False
    cdef int64_t bound = 0
    _shapes = _stacks = False
    _timed.clear()
    for r in _running:
        _shapes, _stacks, memory = _shapes or r.shapes, _stacks or r.stacks, memory or r.memory
        bound = max(bound, r.bound)
        if r.backend is not None:
            _timed[r.device_type] = r.backend
    if _running:
        tg_profile_bound = bound
    if memory:
        watch_memory(&tg_record_memory)
    else:
        watch_memory(NULL)
    return 0


def start(bint shapes, bint stacks, bint memory, device_type, backend, int64_t bound):
    """Start a profile of all threads; `stop` takes what is returned."""
    cdef Recording r = Recording.__new__(Recording)
    cdef tg_profiled_thread* t
    if not 0 < bound < <int64_t>1 << 31:
        raise ValueError(f"a profiler must be allowed between 1 and 2**31 events a thread, got {bound}")
    r.shapes, r.stacks, r.memory, r.bound = shapes, stacks, memory, bound
    r.device_type, r.backend, r.marks = device_type, backend, {}
    with _changing:
        _running.append(r)
        _apply()
        tg_count_profilers(1)
        t = tg_profiled_threads
        while t != NULL:
            r.marks[<size_t>t] = (t.n_events, t.n_records, t.dropped)
            t = t.next
        r.epoch, r.start_time = tg_epoch_nanoseconds(), tg_nanoseconds()
    return r


def stop(Recording r):
    """Stop a profile.

    Returns
    -------
    start, end, epoch : int
        Nanoseconds of a clock that runs evenly, and of the calendar's at the start.
    threads : list
        For each thread ``(native id, name, events, records, dropped)``. An event is ``(name, kind, start, end,
        parent, sequence, cpu bytes, device bytes, details)``, a record ``(time, bytes, total, device, event)``;
        events are numbered within the profile, -1 standing for none.
    """
    cdef tg_profiled_thread* t
    cdef int64_t now
    cdef list threads = []
    with _changing:
        if r not in _running:
            raise RuntimeError("this profile has been stopped already")
        now = tg_nanoseconds()
        t = tg_profiled_threads
        while t != NULL:
            found = _read(t, r)
            if found is not None:
                threads.append(found)
            t = t.next
        _running.remove(r)
        tg_count_profilers(-1)
        _apply()
        if not _running:
            tg_clear_events()
    return r.start_time, now, r.epoch, threads


cdef object _read(tg_profiled_thread* t, Recording r):
    """One thread's part of a profile. What is still open ends now, as far as this profile is concerned."""
    cdef int64_t first, first_record, dropped, n_events, n_records, now, i
    cdef tg_event* events
    cdef tg_memory_record* records
    first, first_record, dropped = r.marks.get(<size_t>t, (0, 0, 0))
    # Copied first: the thread may go on writing, and its arrays may grow and move.
    tg_lock_events(t)
    now = max(tg_nanoseconds(), t.last) + 1
    dropped = t.dropped - dropped
    n_events = t.n_events - first
    n_records = t.n_records - first_record if r.memory else 0
    events = <tg_event*>malloc((n_events + 1) * sizeof(tg_event))
    records = <tg_memory_record*>malloc((n_records + 1) * sizeof(tg_memory_record))
    if events != NULL and records != NULL:
        memcpy(events, t.events + first, n_events * sizeof(tg_event))
        memcpy(records, t.records + first_record, n_records * sizeof(tg_memory_record))
    tg_unlock_events(t)
    try:
        if events == NULL or records == NULL:
            raise MemoryError("out of memory: the profile could not be read")
        if not n_events and not n_records and not dropped:
            return None
        return (t.native_id, None if t.thread_name == NULL else <object>t.thread_name,
                [_as_tuple(&events[i], first, now) for i in range(n_events)],
                [_record_as_tuple(&records[i], first) for i in range(n_records)], dropped)
    finally:
        free(events)
        free(records)


cdef tuple _as_tuple(tg_event* e, int64_t first, int64_t now):
    cdef bint is_open = e.end == 0
    return (<object>e.name, e.kind, e.start, now if is_open else e.end,
            e.parent - first if e.parent >= first else -1, max(e.sequence, -1),
            0 if is_open else e.cpu_bytes, 0 if is_open else e.device_bytes,
            None if e.details == NULL else <object>e.details)


cdef tuple _record_as_tuple(tg_memory_record* m, int64_t first):
    return (m.time, m.bytes, m.total, None if m.device == NULL else str(<object><PyObject*>m.device),
            m.event - first if m.event >= first else -1)
