"""Views and in-place writes: version counters, bases, histories rewritten, and what is refused."""

import pytest

from .compare import both, raised

pytestmark = pytest.mark.parity

VIEWS = {
    "view": lambda x: x.view(6),
    "reshape": lambda x: x.reshape(3, 2),
    "select": lambda x: x[0],
    "slice": lambda x: x[:, 1:],
    "step": lambda x: x[:, ::2],
    "transpose": lambda x: x.t(),
    "permute": lambda x: x.permute(1, 0),
    "expand": lambda x: x[:1].expand(4, 3),
    "squeeze": lambda x: x[:, None].squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "diagonal": lambda x: x.diagonal(),
    "narrow": lambda x: x.narrow(1, 0, 2),
    "unbind": lambda x: x.unbind()[1],
    "split": lambda x: x.split(1)[1],
    "chunk": lambda x: x.chunk(2)[0],
    "detach": lambda x: x.detach(),
    "as_strided": lambda x: x.as_strided((2, 2), (3, 1)),
    "unflatten": lambda x: x.unflatten(1, (3, 1)),
    "movedim": lambda x: x.movedim(0, 1),
    "view_as": lambda x: x.view_as(x),
    "alias by index": lambda x: x[:],
    "unfold": lambda x: x.unfold(1, 2, 1),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "real": lambda x: x.real,
    "T": lambda x: x.T,
    "contiguous": lambda x: x.contiguous(),
    "to": lambda x: x.to(x.dtype),
    "broadcast_to": lambda x: x.broadcast_to((4, 2, 3)),
    "tensor_split": lambda x: x.tensor_split(2)[0],
    "hsplit by unsafe": lambda x: x.split_with_sizes([1, 1])[0],
}


@pytest.mark.parametrize("name", VIEWS)
def test_view(name, record_property):
    def feature(t):
        base = t.mat()
        root = base * 1
        view = VIEWS[name](root)
        facts = [view._is_view(), view._base is root, view.shape, view.stride(), view.storage_offset(), view._version]
        no_history = VIEWS[name](base.detach())
        facts += [no_history._is_view(), no_history.is_leaf, no_history.requires_grad]
        with t.no_grad():
            facts.append(VIEWS[name](base)._is_view())
        return facts

    feature.__module__, feature.__doc__ = __name__, f"facts about the view {name}"
    both(feature)(record_property)


@pytest.mark.parametrize("name", VIEWS)
def test_write_through(name, record_property):
    def feature(t):
        base = t.mat()
        root = base * 1
        view = VIEWS[name](root)
        error = raised(view.mul_, 3)
        weights = t.mat(requires_grad=False)
        facts = [error, root._version, view._version, type(root.grad_fn).__name__.rstrip("0123456789")]
        (root * weights).sum().backward()
        return facts, root, base.grad

    feature.__module__, feature.__doc__ = __name__, f"a write through the view {name}"
    both(feature)(record_property)


@pytest.mark.parametrize("name", VIEWS)
def test_write_to_the_base(name, record_property):
    def feature(t):
        base = t.mat()
        root = base * 1
        view = VIEWS[name](root)
        root.mul_(t.mat(requires_grad=False))
        error = raised(lambda: (view * view).sum().backward()) if view.requires_grad else None
        return view._version, error, base.grad

    feature.__module__, feature.__doc__ = __name__, f"a write to the base of the view {name}"
    both(feature)(record_property)


@both
def test_siblings_see_a_write(t):
    x = t.mat()
    root = x * 1
    first, second = root[0], root[:, 1]
    first.mul_(10)
    second.sum().backward()
    return second, second.grad_fn.name(), x.grad


@both
def test_a_view_of_a_view(t):
    x = t.mat()
    root = x * 1
    inner = root[0][1:]
    inner.exp_()
    root.sum().backward()
    return inner._base is root, x.grad, root


@both
def test_versions(t):
    x = t.ones(3)
    versions = [x._version]
    x.add_(1)
    versions.append(x._version)
    x[0] = 5
    versions.append(x._version)
    x[:2].mul_(2)
    versions.append(x._version)
    y = x.detach()
    y.add_(1)
    versions += [x._version, y._version]
    x.data.add_(1)
    versions.append(x._version)
    t.add(x, x, out=x)
    versions.append(x._version)
    x.copy_(x)
    versions.append(x._version)
    x.zero_()
    x.fill_(3)
    versions.append(x._version)
    x += 1
    versions.append(x._version)
    return versions


@both
def test_write_to_a_leaf(t):
    x = t.vec(1.0, 2.0)
    with t.no_grad():
        x.add_(1)
    return (
        raised(x.add_, 1),
        raised(x[0].add_, 1),
        raised(x.__setitem__, 0, 1.0),
        raised(x.zero_),
        raised(x.copy_, t.zeros(2)),
        x,
        x._version,
    )


@both
def test_data_of_a_leaf(t):
    x = t.vec(1.0, 2.0)
    x.data.mul_(3)
    return x, x._version, x.data.requires_grad, x.data.data_ptr() == x.data_ptr()


@both
def test_assigning_data(t):
    x = t.vec(1.0, 2.0)
    x.data = t.ones(3, dtype=t.float64)
    return x, x.requires_grad, raised(setattr, x, "data", 3)


@both
def test_a_saved_input_is_overwritten(t):
    x = t.vec(1.0, 2.0)
    y = x * 1
    z = y * y
    y.add_(1)
    return raised(z.sum().backward)


@both
def test_a_saved_output_is_overwritten(t):
    y = t.vec(1.0, 2.0).exp()
    z = y * 2
    y.add_(1)
    return raised(z.sum().backward)


@both
def test_a_saved_tensor_is_overwritten_through_a_view(t):
    x = t.mat() * 1
    z = x.sin()
    x[0].add_(1)
    return raised(z.sum().backward)


@both
def test_a_saved_tensor_is_overwritten_through_detach(t):
    x = t.mat() * 1
    z = x.sin()
    x.detach().add_(1)
    return raised(z.sum().backward)


@both
def test_a_tensor_that_is_not_saved_may_be_overwritten(t):
    x = t.vec(1.0, 2.0)
    y = x * 1
    z = y + 1
    y.add_(1)
    z.sum().backward()
    return x.grad


@both
def test_writing_a_tensor_that_requires_grad_into_one_that_does_not(t):
    x = t.vec(1.0, 2.0)
    out = t.zeros(2, 2, dtype=t.float64)
    out[0] = x * 3
    out[1].copy_(x)
    (out * t.mat(2, 2, requires_grad=False)).sum().backward()
    return out.requires_grad, type(out.grad_fn).__name__, x.grad, out


@both
def test_a_view_of_no_history_gets_one(t):
    x = t.vec(1.0, 2.0)
    out = t.zeros(2, 2, dtype=t.float64)
    row = out[1]
    row.mul_(x)
    row.add_(x)
    return row.requires_grad, out.requires_grad, type(out.grad_fn).__name__, row


@both
def test_multi_output_views_refuse_writes(t):
    x = t.mat() * 1
    return [
        raised(x.unbind()[0].mul_, 2),
        raised(x.split(1)[0].mul_, 2),
        raised(x.chunk(2)[0].mul_, 2),
        raised(x.tensor_split(2)[0].mul_, 2),
    ]


@both
def test_views_made_under_no_grad_refuse_writes(t):
    x = t.mat() * 1
    with t.no_grad():
        view = x[0]
    return raised(view.mul_, 2), view.requires_grad


@both
def test_writes_to_a_view_under_no_grad(t):
    x = t.mat() * 1
    view = x[0]
    with t.no_grad():
        view.mul_(2)
    return x, x._version, x.grad_fn.name()


@both
def test_an_expanded_tensor_refuses_writes(t):
    return raised(t.ones(1).expand(3).add_, t.ones(3)), raised(t.ones(1).expand(3).copy_, t.ones(3))


@both
def test_overlap(t):
    x = t.ones(5)
    return raised(x[1:].add_, x[:-1]), raised(t.add, x[1:], 1, out=x[:-1])


@both
def test_dtype_of_in_place(t):
    return (
        raised(t.ones(2, dtype=t.int64).add_, 1.5),
        raised(t.ones(2).mul_, 1j),
        raised(t.ones(2, dtype=t.bool).add_, 1),
        raised(t.ones(2).add_, t.ones(3)),
        raised(t.ones(2).add_, t.ones(2, 2)),
        raised(t.ones(2, dtype=t.int64).div_, 2),
    )


@both
def test_out(t):
    x = t.vec(1.0, 2.0)
    return (
        raised(t.add, x, 1, out=t.zeros(2, dtype=t.float64)),
        raised(t.exp, t.ones(2), out=t.zeros(2, dtype=t.int64)),
        t.exp(t.zeros(2), out=t.empty(0)),
        raised(t.exp, t.zeros(2), out=3),
    )


@both
def test_detach_in_place(t):
    x = t.vec(1.0)
    y = x * 2
    y.detach_()
    z = (x * 1)[0:]
    return y.requires_grad, y.is_leaf, y.grad_fn, raised(z.detach_)


@both
def test_set_shares_storage(t):
    x, y = t.ones(3), t.zeros(2)
    x.set_(y)
    y[0] = 5
    return x, x._version


@both
def test_requires_grad_of_views(t):
    x = t.ones(3)
    view = x[:2]
    view.requires_grad_()
    return x.requires_grad, view.is_leaf, view._is_view(), raised(view.add_, 1)


@both
def test_in_place_of_a_view_of_a_leaf_made_after(t):
    x = t.ones(3, dtype=t.float64)
    view = x[:2]
    x.requires_grad_()
    return raised(view.mul_, 2), view.requires_grad


@both
def test_in_place_clone_keeps_the_graph(t):
    x = t.vec(1.0, 2.0)
    y = x.clone()
    y[0] *= y[1].clone()
    y.sum().backward()
    return x.grad, y


@both
def test_double_backward_through_a_view_write(t):
    x = t.vec(1.0, 2.0)
    y = x.clone()
    y[0:1].mul_(y[1:].clone())
    (g,) = t.autograd.grad((y**2).sum(), x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


@both
def test_copy_between_dtypes(t):
    x = t.vec(1.0, 2.0)
    y = t.zeros(2)
    y.copy_(x)
    y.sum().backward()
    return x.grad, y.dtype


@both
def test_index_put_accumulate(t):
    x, v = t.mat(), t.vec(5.0, 6.0)
    y = x * 1
    y.index_put_((t.tensor([0, 0]), t.tensor([1, 1])), v, accumulate=True)
    (y * y).sum().backward()
    return y, x.grad, v.grad


@both
def test_masked_assignment(t):
    x, v = t.mat(), t.vec(7.0)
    y = x * 1
    y[x > 3] = v
    (y * y).sum().backward()
    return y, x.grad, v.grad


@both
def test_shape_changes_in_place(t):
    x = t.mat(requires_grad=False)
    x.t_()
    first = x.shape, x.stride()
    x.unsqueeze_(0)
    x.squeeze_()
    x.transpose_(0, 1)
    return first, x.shape, x.stride(), x._version


@both
def test_resize(t):
    x = t.vec(1.0, 2.0)
    return raised(x.resize_, 3), t.ones(4).resize_(2).shape
