"""Sums of products over named dimensions: tensordot, einsum and chains of matrices.

All of them permute and reshape their operands into one matrix product for each pair.
"""
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase

from math import prod

from tensorgrad._core.declaration import composite

cdef Operator mm, bmm, sum_, reshape, permute, squeeze, diagonal, einsum_pairs
mm, bmm, sum_, reshape, permute, squeeze, diagonal = (
    handle(n) for n in ("mm", "bmm", "sum", "reshape", "permute", "squeeze", "diagonal"))
einsum_pairs = handle("_einsum")


# ---- tensordot ------------------------------------------------------------------------------------
def _tensordot(self, other, dims):
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(self.ndim, other.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        ours, theirs = list(range(self.ndim - dims, self.ndim)), list(range(dims))
    else:
        ours, theirs = (list(d) if isinstance(d, (tuple, list)) else [d] for d in dims)
    if len(ours) != len(theirs):
        raise RuntimeError("both dimension lists should have same length")
    ours, theirs = _wrapped(ours, self.ndim), _wrapped(theirs, other.ndim)
    for p, q in zip(ours, theirs):
        if self.shape[p] != other.shape[q]:
            if self.shape[p] == 1:
                other = sum_(other, (q,), True, dtype=other.dtype)
            elif other.shape[q] == 1:
                self = sum_(self, (p,), True, dtype=self.dtype)
            else:
                shown = p - self.ndim if isinstance(dims, int) else p
                raise RuntimeError(f"contracted dimensions need to match, but first has size {self.shape[p]} in dim {shown} and second "
                                   f"has size {other.shape[q]} in dim {q}")
    kept = [d for d in range(self.ndim) if d not in ours]
    others = [d for d in range(other.ndim) if d not in theirs]
    inner = prod([self.shape[d] for d in ours])
    rows, columns = [self.shape[d] for d in kept], [other.shape[d] for d in others]
    a = reshape(permute(self, tuple(kept + ours)), (prod(rows), inner))
    b = reshape(permute(other, tuple(theirs + others)), (inner, prod(columns)))
    return reshape(mm(a, b), tuple(rows + columns))


def _wrapped(dims, int ndim):
    result = []
    for d in dims:
        if d < -ndim or d >= ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {d})")
        d = d + ndim if d < 0 else d
        if d in result:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
        result.append(d)
    return result


composite("tensordot(Tensor self, Tensor other, Any dims=2)", _tensordot, method=False,
          reference="np.tensordot(self, other, dims)",
          samples=lambda make: [((make(2, 3, 4), make(3, 4, 2)), {}), ((make(2, 3), make(3, 2), ((0, 1), (1, 0))), {}),
                                ((make(2, 3), make(4)), {"dims": 0})],
          doc="""Sum of products over dimensions of two tensors.

    Parameters
    ----------
    self, other : Tensor
    dims : int or pair of lists of int
        The number of the last dimensions of the one and first of the other, or the dimensions of both by name.

    Examples
    --------
    >>> tensorgrad.tensordot(tensorgrad.ones(2, 3), tensorgrad.ones(3, 2), dims=1)
    tensor([[3., 3.],
            [3., 3.]])
    """)


# ---- einsum: the equation ---------------------------------------------------------------------------
def _subscripts(str text, int operand):
    """The labels of one operand, "..." among them; `operand` < 0 is the output."""
    where = "the output" if operand < 0 else f"operand {operand}"
    labels, i = [], 0
    while i < len(text):
        c = text[i]
        if c == " ":
            i += 1
        elif c == ".":
            if text[i:i + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
            if "..." in labels:
                raise RuntimeError(f"einsum(): found '.' for {where} for which an ellipsis was already found")
            labels.append("...")
            i += 3
        elif c.isascii() and c.isalpha():
            labels.append(c)
            i += 1
        else:
            raise RuntimeError(f"einsum(): invalid subscript given at index {i} in the {'output' if operand < 0 else 'equation string'}"
                               f"{' string' if operand < 0 else ''}, subscripts must be in [a-zA-Z]")
    return labels


def _parse(str equation, operands):
    """(labels of each operand, labels of the output); the dimensions of an ellipsis are named by their numbers."""
    left, arrow, right = equation.partition("->")
    texts = left.split(",")
    if len(texts) > len(operands):
        raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
    if len(texts) < len(operands):
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    labels = [_subscripts(text, i) for i, text in enumerate(texts)]
    extra = 0
    for i, (names, x) in enumerate(zip(labels, operands)):
        free = x.ndim - (len(names) - ("..." in names))
        if free < 0 or (free > 0 and "..." not in names):
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(names) - ('...' in names)}) "
                               f"{'is more than' if '...' in names else 'does not match'} the number of dimensions ({x.ndim}) for "
                               f"operand {i}{'' if '...' in names else ' and no ellipsis was given'}")
        if "..." in names:
            extra = max(extra, free)
    named = []
    for names, x in zip(labels, operands):
        free = x.ndim - len(names) + 1
        named.append([label for name in names
                      for label in ([str(d) for d in range(extra - free, extra)] if name == "..." else [name])])
    ellipsis = [str(d) for d in range(extra)]
    if not arrow:
        every = [label for names in named for label in names if label not in ellipsis]
        return named, ellipsis + sorted(label for label in set(every) if every.count(label) == 1)
    output = []
    for name in _subscripts(right, -1):
        if name != "..." and name in output:
            raise RuntimeError(f"einsum(): output subscript {name} appears more than once in the output")
        if name != "..." and not any(name in names for names in named):
            raise RuntimeError(f"einsum(): output subscript {name} does not appear in the equation for any input operand")
        output += ellipsis if name == "..." else [name]
    return named, output


def _checked_sizes(operands, labels):
    sizes = {}
    for i, (x, names) in enumerate(zip(operands, labels)):
        for label, size in zip(names, x.shape):
            known = sizes.get(label, 1)
            if known != size and known != 1 and size != 1:
                first = names.index(label)
                if names.count(label) > 1 and x.shape[first] != size:
                    raise RuntimeError(f"einsum(): subscript {label} is repeated for operand {i} but the sizes don't match, {size} != "
                                       f"{x.shape[first]}")
                raise RuntimeError(f"einsum(): subscript {label} has size {size} for operand {i} which does not broadcast with "
                                   f"previously seen size {known}")
            sizes[label] = max(known, size) if known == 1 or size == 1 else size
    return sizes


# ---- einsum: the products -----------------------------------------------------------------------------
def _without_repeats(x, names):
    """A label that stands twice names a diagonal."""
    names = list(names)
    for label in list(names):
        while names.count(label) > 1:
            i = names.index(label)
            j = names.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(f"einsum(): subscript {label} is repeated but the sizes don't match, {x.shape[j]} != {x.shape[i]}")
            x = diagonal(x, 0, i, j)
            names = [name for k, name in enumerate(names) if k not in (i, j)] + [label]
    return x, names


def _summed(x, names, gone):
    """`x` summed over the labels `gone`."""
    dims = tuple([i for i, name in enumerate(names) if name in gone])
    return (sum_(x, dims) if dims else x), [name for name in names if name not in gone]


def _in_order(x, names, order):
    dims = tuple([names.index(name) for name in order])
    return x if dims == tuple(range(len(dims))) else permute(x, dims)


def _pair(x, x_names, y, y_names, kept):
    """The product of two operands, summed over the labels that are not in `kept`."""
    for label in [name for name in x_names if name in y_names]:
        p, q = x.shape[x_names.index(label)], y.shape[y_names.index(label)]
        if p != q:      # one of them is broadcast: drop its dimension
            if p == 1:
                x, x_names = squeeze(x, x_names.index(label)), [name for name in x_names if name != label]
            else:
                y, y_names = squeeze(y, y_names.index(label)), [name for name in y_names if name != label]
    x, x_names = _summed(x, x_names, [name for name in x_names if name not in y_names and name not in kept])
    y, y_names = _summed(y, y_names, [name for name in y_names if name not in x_names and name not in kept])
    shared = [name for name in x_names if name in y_names]
    batch, inner = [name for name in shared if name in kept], [name for name in shared if name not in kept]
    rows, columns = [name for name in x_names if name not in shared], [name for name in y_names if name not in shared]
    size = dict(zip(x_names, x.shape))
    size.update(zip(y_names, y.shape))

    def count(names):
        return prod([size[name] for name in names])

    def sizes(names):
        return [size[name] for name in names]

    result = batch + rows + columns
    if not inner:
        a, b = _in_order(x, x_names, batch + rows), _in_order(y, y_names, batch + columns)
        return reshape(a, (*a.shape, *(1,) * len(columns))) * reshape(b, (*sizes(batch), *(1,) * len(rows), *sizes(columns))), result
    a = reshape(_in_order(x, x_names, batch + rows + inner), (count(batch), count(rows), count(inner)))
    b = reshape(_in_order(y, y_names, batch + inner + columns), (count(batch), count(inner), count(columns)))
    if batch:
        out = bmm(a, b)
    else:
        out = mm(squeeze(a, 0), squeeze(b, 0))
    return reshape(out, tuple(sizes(result))), result


def _cheapest(terms, output):
    """The pair whose product leaves the least to carry on with."""
    best, cost = (0, 1), None
    for i in range(len(terms)):
        for j in range(i + 1, len(terms)):
            size = dict(zip(terms[i][1], terms[i][0].shape))
            for name, n in zip(terms[j][1], terms[j][0].shape):
                size[name] = max(n, size.get(name, 1))
            later = {name for k, term in enumerate(terms) if k not in (i, j) for name in term[1]}.union(output)
            made = prod([n for name, n in size.items() if name in later])
            c = (made - terms[i][0].numel() - terms[j][0].numel(), prod(size.values()))
            if cost is None or c < cost:
                best, cost = (i, j), c
    return best


def _einsum(str equation, operands):
    labels, output = _parse(equation, operands)
    _checked_sizes(operands, labels)
    terms = [_without_repeats(x, names) for x, names in zip(operands, labels)]
    while len(terms) > 1:
        i, j = (0, 1) if len(terms) == 2 else _cheapest(terms, output)
        kept = {name for k, term in enumerate(terms) if k not in (i, j) for name in term[1]}.union(output)
        product = _pair(*terms[i], *terms[j], kept)
        terms = [term for k, term in enumerate(terms) if k not in (i, j)] + [product]
    x, names = _summed(*terms[0], [name for name in terms[0][1] if name not in output])
    return _in_order(x, names, output)


composite("_einsum(str equation, Tensor[] operands)", _einsum, internal=True, method=False, reference="np.einsum(equation, *operands)",
          samples=lambda make: [(("ij,jk->ik", (make(2, 3), make(3, 4))), {}), (("ii->i", (make(3, 3),)), {}),
                                (("bij,bjk", (make(2, 2, 3), make(2, 3, 2))), {}), (("i,j,k->kji", (make(2), make(3), make(2))), {}),
                                (("...ij,...kj->...ik", (make(2, 2, 3), make(4, 3))), {}), (("ij->", (make(2, 3),)), {})],
          doc="`einsum` with its operands in a tuple.")


def einsum(*args):
    """Sum of products over dimensions that are named by letters.

    Parameters
    ----------
    equation : str
        The letters of each operand's dimensions, separated by commas, then ``->`` and those of the result.
        Letters that the result does not have are summed over; ``...`` stands for dimensions that broadcast.
        Without ``->`` the result has the letters that appear once, in alphabetical order.
    *operands : Tensor
        As many as the equation names, or one list of them. Instead of an equation each operand may be followed
        by a list of ints that name its dimensions, and the last by one for the result.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> tensorgrad.einsum("ij,j->i", tensorgrad.ones(2, 3), tensorgrad.ones(3))
    tensor([3., 3.])
    """
    if len(args) < 2:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or at least one operand and its "
                         "subscripts list")
    if isinstance(args[0], TensorBase):
        equation, operands = _from_lists(args)
    else:
        equation, operands = args[0], args[1:]
        if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
            operands = operands[0]
    return einsum_pairs(equation, tuple(operands))


def _from_lists(args):
    """The equation that operands with lists of ints stand for."""
    def letters(names):
        text = ""
        for name in names:
            if name is Ellipsis:
                text += "..."
            elif isinstance(name, int) and 0 <= name < 52:
                text += chr(ord("A") + name) if name < 26 else chr(ord("a") + name - 26)
            else:
                raise ValueError(f"einsum(): subscript {name} in subscripts list is not within the valid range [0, 52)")
        return text

    equation = ",".join(letters(names) for names in args[1::2])
    if len(args) % 2 == 1:
        equation = ",".join(letters(names) for names in args[1:-1:2]) + "->" + letters(args[-1])
    return equation, args[0:len(args) - len(args) % 2:2]


# ---- chains of matrices ---------------------------------------------------------------------------------
def _chain_order(sizes):
    """Where to split each stretch of a chain of matrices, for the fewest multiplications (Cormen et al., section 14.2)."""
    n = len(sizes) - 1
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i][j], split[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))
    return split


def _multi_dot(tensors):
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for i, x in enumerate(tensors):
        if x.ndim != 2 and not (x.ndim == 1 and i in (0, len(tensors) - 1)):
            raise RuntimeError(f"multi_dot(): tensor {i} must be {'1D or 2D' if i in (0, len(tensors) - 1) else '2D'} but got {x.ndim}D")
    matrices = list(tensors)
    if matrices[0].ndim == 1:
        matrices[0] = reshape(matrices[0], (1, matrices[0].shape[0]))
    if matrices[-1].ndim == 1:
        matrices[-1] = reshape(matrices[-1], (matrices[-1].shape[0], 1))
    split = _chain_order([matrices[0].shape[0]] + [x.shape[1] for x in matrices])

    def product(int i, int j):
        if i == j:
            return matrices[i]
        k = split[i][j]
        return mm(product(i, k), product(k + 1, j))

    out = product(0, len(matrices) - 1)
    sizes = [out.shape[d] for d in range(2) if tensors[0 if d == 0 else -1].ndim == 2]
    return out if len(sizes) == 2 else reshape(out, tuple(sizes))


composite("multi_dot(Tensor[] tensors)", _multi_dot, method=False, function=False, reference="np.linalg.multi_dot(tensors)",
          samples=lambda make: [(((make(2, 3), make(3, 4), make(4, 2)),), {}), (((make(3), make(3, 4), make(4)),), {})],
          doc="The product of a chain of matrices, in the order that needs the fewest multiplications.")


def chain_matmul(*matrices):
    """The product of matrices, in the order that needs the fewest multiplications.

    Parameters
    ----------
    *matrices : Tensor
        Two-dimensional, of shapes that fit.

    Returns
    -------
    Tensor
    """
    if len(matrices) == 1:
        return matrices[0]
    return _multi_dot(matrices)
