"""Pictures of the graph: what they name, that boxes do not overlap, and that DOT and SVG are well formed."""

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad
import tensorgrad_nn as nn
from tensorgrad.autograd import Function, graph
from tensorgrad.autograd._layered_layout import layered
from tensorgrad.autograd.graph import to_dot, to_svg

SVG = "{http://www.w3.org/2000/svg}"


def leaf(*shape):
    return tensorgrad.ones(*shape, requires_grad=True)


def labels(dot):
    """The labels of the vertices, and the edges as (label of source, label of target, edge label)."""
    vertices = {v: text.replace("\\n", "|") for v, text in re.findall(r'^    (v\d+) \[label="(.*?)", shape', dot, re.M)}
    edges = [
        (vertices[a], vertices[b], text)
        for a, b, text in re.findall(r'^    (v\d+) -> (v\d+)(?: \[label="(\d+)"\])?(?: \[style=dashed\])?;$', dot, re.M)
    ]
    assert dot.startswith("digraph {\n") and dot.endswith("\n}")
    assert dot.count("\n") == len(vertices) + len(edges) + 3, "every line is one of these"
    return sorted(vertices.values()), sorted(edges)


def boxes(svg):
    found = []
    for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        if "x" in rect.attrib:
            x, y, w, h = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
            found.append((x, y, x + w, y + h))
    return found


def texts(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def first_network():
    x, y = tensorgrad.ones(5), tensorgrad.zeros(3)
    w, b = leaf(5, 3), leaf(3)
    z = tensorgrad.matmul(x, w) + b
    return nn.functional.binary_cross_entropy_with_logits(z, y), w, b, z


class TinyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Linear(1000, 100)
        self.relu = nn.ReLU()
        self.layer2 = nn.Linear(100, 10)

    def forward(self, x):
        return self.layer2(self.relu(self.layer1(x)))


def test_the_first_network_of_the_chapter():
    loss, w, b, z = first_network()
    vertices, edges = labels(to_dot(loss, {"w": w, "b": b, "z": z}))
    assert {"w|(5, 3)", "b|(3)", "AddBackward0|z|(3)", "BinaryCrossEntropyWithLogitsBackward0|()", "output|()"} <= set(
        vertices
    )
    assert ("b|(3)", "AddBackward0|z|(3)", "") in edges
    assert ("AddBackward0|z|(3)", "BinaryCrossEntropyWithLogitsBackward0|()", "") in edges
    assert ("BinaryCrossEntropyWithLogitsBackward0|()", "output|()", "") in edges


def test_the_parameters_of_a_module_go_by_their_names():
    model = TinyModel()
    loss = (tensorgrad.ones(16, 10) - model(tensorgrad.ones(16, 1000))).pow(2).sum()
    vertices, _ = labels(to_dot(loss, model))
    assert {"layer1.weight|(100, 1000)", "layer1.bias|(100)", "layer2.weight|(10, 100)", "layer2.bias|(10)"} <= set(
        vertices
    )
    assert {"ReluBackward0|(16, 100)", "SubBackward0|(16, 10)", "SumBackward0|()"} <= set(vertices)
    assert labels(to_dot(loss, list(model.named_parameters()))) == labels(to_dot(loss, model))
    unnamed, _ = labels(to_dot(loss))
    assert {"(100, 1000)", "(100)", "(10, 100)", "(10)"} <= set(unnamed)


def test_a_tensor_used_twice_is_one_vertex_with_two_edges():
    x = leaf(2)
    vertices, edges = labels(to_dot(x * x, {"x": x}))
    assert vertices == ["MulBackward0|(2)", "output|(2)", "x|(2)"]
    assert edges.count(("x|(2)", "MulBackward0|(2)", "")) == 2


def test_outputs_are_numbered_where_there_are_several():
    a, b = leaf(4).chunk(2)
    _, edges = labels(to_dot((a * 2) + b, {}))
    numbers = {text for source, _, text in edges if source.startswith("Split")}
    assert numbers == {"0", "1"}
    assert {text for source, _, text in edges if not source.startswith("Split")} == {""}


def test_saved_tensors():
    x = leaf(2, 3)
    vertices, edges = labels(to_dot(x.exp(), {"x": x}, show_saved=True))
    assert "saved result|(2, 3)" in vertices
    assert ("saved result|(2, 3)", "ExpBackward0|(2, 3)", "") in edges
    assert "style=dashed" in to_dot(x.exp(), show_saved=True)
    y = x.exp().sum()
    y.backward()
    assert "saved result|not available" in labels(to_dot(y, show_saved=True))[0]

    class Keeps(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, None)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    vertices, _ = labels(to_dot(Keeps.apply(x), show_saved=True))
    assert "KeepsBackward|(2, 3)" in vertices and "saved tensors[0]|(2, 3)" in vertices


def test_several_roots_edges_and_a_leaf():
    x = leaf(2)
    y, z = x * 2, x.sin()
    vertices, edges = labels(to_dot([y, graph.get_gradient_edge(z)], {"y": y}))
    assert vertices.count("output|(2)") == 1 and vertices.count("y|(2)") == 1
    assert "MulBackward0|(2)" in vertices, "the name of a root is said once"
    assert labels(to_dot(x, {"x": x})) == (["x|(2)", "x|(2)"], [("x|(2)", "x|(2)", "")])
    assert len(edges) == 4


def test_names_are_escaped():
    x = leaf(2)
    name = 'a "b" \\ & <c>'
    assert 'label="a \\"b\\" \\\\ & <c>\\n(2)"' in to_dot(x * 2, {name: x})
    assert name in texts(to_svg(x * 2, {name: x}))


def test_refusals():
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        to_dot(tensorgrad.ones(2))
    with pytest.raises(TypeError, match="params must map names to tensors, but 'x' is of type int"):
        to_svg(leaf(2) * 2, {"x": 3})


@pytest.mark.parametrize("show_saved", [False, True])
def test_the_picture_shows_what_the_text_says(show_saved):
    loss, w, b, z = first_network()
    params = {"w": w, "b": b, "z": z}
    vertices, edges = labels(to_dot(loss, params, show_saved=show_saved))
    svg = to_svg(loss, params, show_saved=show_saved)
    assert sorted(texts(svg)) == sorted(line for vertex in vertices for line in vertex.split("|"))
    assert len(boxes(svg)) == len(vertices)
    assert svg.count("marker-end") == len(edges)
    found = boxes(svg)
    assert not any(overlap(a, b) for i, a in enumerate(found) for b in found[:i])


def test_the_picture_of_a_large_graph_is_drawn_without_recursion():
    x = leaf(2)
    y = x
    for _ in range(1500):
        y = y * x  # edges from x to all of these: more than are given bends
    assert len(boxes(to_svg(y.sin()))) == 1503


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 14))
    sizes = draw(st.lists(st.tuples(st.floats(10, 200), st.floats(10, 60)), min_size=count, max_size=count))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    return sizes, draw(st.lists(pairs, max_size=30)) if count > 1 else []


@settings(deadline=None)
@given(graphs())
def test_layouts_are_readable(drawn):
    sizes, edges = drawn
    drawing = layered(sizes, edges)
    found = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(drawing.centres, sizes, strict=True)
    ]
    assert all(x0 >= 0 and y0 >= 0 and x1 <= drawing.width and y1 <= drawing.height for x0, y0, x1, y1 in found)
    assert not any(overlap(a, b) for i, a in enumerate(found) for b in found[:i])
    for (a, b), path in zip(edges, drawing.paths, strict=True):
        assert path[0][1] == pytest.approx(found[a][3]) and found[a][0] <= path[0][0] <= found[a][2]
        assert path[-1][1] == pytest.approx(found[b][1]) and found[b][0] <= path[-1][0] <= found[b][2]
        assert all(q[1] >= p[1] - 1e-9 for p, q in pairwise(path)), "edges go down"
        for p, q in zip(path[::2], path[1::2], strict=True):  # the straight lines pass no box
            line = (p[0] - 1, p[1] + 0.01, p[0] + 1, q[1] - 0.01)
            assert not any(overlap(line, box) for v, box in enumerate(found) if v not in (a, b))


def test_a_layout_without_crossings_is_found():
    # two chains that cross in the order in which they are given
    drawing = layered([(20, 10)] * 4, [(0, 3), (1, 2)])
    (x0, _), (x1, _), (x2, _), (x3, _) = drawing.centres
    assert (x0 < x1) == (x3 < x2)
