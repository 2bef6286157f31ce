"""The modes of a thread: grad, inference, and the stack of transforms.

The public context managers (`no_grad` and its kin) are Python and live in
`tensorgrad.autograd.grad_mode`; here are the switches they throw.
"""

from tensorgrad._core.locks import local

cdef extern from *:
    """
    static TG_THREAD_LOCAL tg_thread_state tg_this_thread = {1, 1, 0, 1, 0, 0, -1, NULL, NULL};   /* slow: see profiler.h */
    static tg_anomaly_mode tg_anomaly = {0, 1};
    static inline tg_thread_state *tg_thread_state_address(void) { return &tg_this_thread; }
    static inline tg_anomaly_mode *tg_anomaly_address(void) { return &tg_anomaly; }
    """
    tg_thread_state* tg_thread_state_address() noexcept nogil
    tg_anomaly_mode* tg_anomaly_address() noexcept nogil

# What a thread's C struct borrows is owned here.
_owned = local()


cdef tg_thread_state* thread_state() noexcept nogil:
    return tg_thread_state_address()


cdef tg_anomaly_mode* anomaly_mode() noexcept nogil:
    return tg_anomaly_address()


def is_grad_enabled():
    """True when operations are recorded in this thread."""
    return thread_state().grad != 0


def is_inference_mode_enabled():
    """True when inference mode is on in this thread."""
    return thread_state().inference != 0


def set_grad(bint mode):
    thread_state().grad = mode


def set_forward_grad(bint mode):
    thread_state().forward_grad = mode


def is_forward_grad_enabled():
    return thread_state().forward_grad != 0


def set_inference(bint mode):
    """Inference mode turns recording and tangents off as well; returns what must be restored."""
    cdef tg_thread_state* s = thread_state()
    before = (s.inference, s.grad, s.forward_grad)
    s.inference = mode
    s.grad = not mode
    s.forward_grad = not mode
    return before


def restore_inference(tuple before):
    cdef tg_thread_state* s = thread_state()
    s.inference, s.grad, s.forward_grad = before


def set_anomaly(bint enabled, bint check_nan):
    anomaly_mode().enabled = enabled
    anomaly_mode().check_nan = check_nan


def anomaly_state():
    return anomaly_mode().enabled != 0, anomaly_mode().check_nan != 0


cdef class Level:
    """One transform in force: what it does, and the size of its batch if it is a vmap."""

    def __repr__(self):
        return f"Level({self.number}, {('grad', 'jvp', 'vmap')[self.kind]})"


cdef Level level_at(tg_thread_state* state, int depth):
    return <Level>(<list>state.levels)[depth - 1]


def push_level(int kind, int64_t batch_size=0, str randomness="error"):
    """Enter a transform in this thread; `pop_level` must follow, in reverse order."""
    cdef tg_thread_state* s = thread_state()
    cdef list levels = getattr(_owned, "levels", None)
    if levels is None:
        levels = _owned.levels = []
        s.levels = <void*>levels
    cdef Level level = Level.__new__(Level)
    # Below a transform that is being peeled its level stays out of sight until this one is popped.
    level.hidden = levels[s.depth:]
    del levels[s.depth:]
    level.number = s.depth + 1
    level.kind, level.batch_size, level.randomness, level.alive = kind, batch_size, randomness, True
    level.outer_grad, level.outer_forward_grad = s.grad, s.forward_grad
    levels.append(level)
    s.depth = len(levels)
    s.slow += 1
    if kind == LEVEL_GRAD:
        s.grad = 1
    elif kind == LEVEL_JVP:
        s.forward_grad = 1
    return level


def pop_level():
    cdef tg_thread_state* s = thread_state()
    cdef list levels = _owned.levels
    cdef Level level = levels.pop()
    levels.extend(level.hidden)
    level.hidden = None
    level.alive = False
    s.depth = level.number - 1
    s.slow -= 1
    s.grad, s.forward_grad = level.outer_grad, level.outer_forward_grad
    return level


def transform_depth():
    return thread_state().depth


def current_level():
    """The innermost transform in force, or None."""
    cdef tg_thread_state* s = thread_state()
    return level_at(s, s.depth) if s.depth else None


def enter_below(Level level):
    """Look at the transforms below `level` only, under the modes that held there; returns what `leave_below` needs."""
    cdef tg_thread_state* s = thread_state()
    before = s.depth, s.grad, s.forward_grad
    s.depth = level.number - 1
    if level.kind != LEVEL_VMAP:
        s.grad, s.forward_grad = level.outer_grad, level.outer_forward_grad
    return before


def leave_below(tuple before):
    cdef tg_thread_state* s = thread_state()
    s.depth, s.grad, s.forward_grad = before


def enter_dual_level():
    cdef tg_thread_state* s = thread_state()
    if s.dual_level:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    s.dual_level = 1
    return 0


def exit_dual_level():
    cdef tg_thread_state* s = thread_state()
    if not s.dual_level:
        raise RuntimeError("Trying to exit a forward AD level but no level is active")
    s.dual_level = 0


def dual_level():
    return thread_state().dual_level - 1


def push_saved_hooks(pack, unpack):
    cdef tg_thread_state* s = thread_state()
    cdef list hooks = getattr(_owned, "saved_hooks", None)
    if hooks is None:
        hooks = _owned.saved_hooks = []
    hooks.append((pack, unpack))
    s.saved_hooks = <void*>hooks
    s.slow += 1


def pop_saved_hooks():
    cdef tg_thread_state* s = thread_state()
    cdef list hooks = _owned.saved_hooks
    hooks.pop()
    s.slow -= 1
    if not hooks:
        s.saved_hooks = NULL
