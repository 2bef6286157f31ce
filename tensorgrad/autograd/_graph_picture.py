"""Pictures of the recorded graph: the text that Graphviz draws, and SVG that needs nothing else.

Both show the computation from top to bottom: leaves that require grad, by name where one is known; the
recorded operations with the shapes of their results; and the tensors from which the picture begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tensorgrad._core.backward import gradient_edge_of
from tensorgrad._core.tensor import Tensor
from tensorgrad.autograd._layered_layout import layered

__all__ = ["to_dot", "to_svg"]

# Of each kind of vertex: Graphviz's shape, fill and border.
STYLES = {
    "leaf": ("box", "#cfe3ff", "#3b6fb6"),
    "operator": ("box", "#f1f1f1", "#7d7d7d"),
    "root": ("box", "#cdeecb", "#3f8f3c"),
    "saved": ("ellipse", "#ffe2b8", "#b97a1f"),
}
FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"
FONT_SIZE, LINE = 12.0, 16.0
CHARACTER = 0.602 * FONT_SIZE  # of these fonts every character is that wide


class _Vertex(NamedTuple):
    kind: str
    lines: list[str]


class _Edge(NamedTuple):
    source: int
    target: int
    label: str
    dashed: bool


class _Picture:
    """The vertices and edges to draw."""

    def __init__(self, names: Mapping[int, str], inner: dict[tuple[Any, int], str], show_saved: bool) -> None:
        self.names, self.inner, self.show_saved = names, inner, show_saved
        self.vertices: list[_Vertex] = []
        self.edges: list[_Edge] = []
        self.numbers: dict[Any, int] = {}

    def add(self, kind: str, lines: list[str]) -> int:
        self.vertices.append(_Vertex(kind, lines))
        return len(self.vertices) - 1

    def node(self, node: Any) -> int:
        """The number of a node's vertex, which is made when it is first met."""
        if node in self.numbers:
            return self.numbers[node]
        shapes = [shape_text(shape) for shape, _ in node._input_metadata]
        if hasattr(node, "variable"):
            name = self.names.get(id(node.variable))
            number = self.add("leaf", [*([name] if name else []), *shapes])
        else:
            given = [self.inner[node, i] for i in range(len(shapes)) if (node, i) in self.inner]
            number = self.add("operator", [node.name(), *given, ", ".join(shapes)])
        self.numbers[node] = number
        return number

    def connect(self, node: Any, output_nr: int, target: int) -> None:
        label = str(output_nr) if len(node._input_metadata) > 1 else ""
        self.edges.append(_Edge(self.node(node), target, label, False))

    def walk(self, roots: Sequence[Any]) -> None:
        stack = []
        for root in roots:
            node, output_nr = gradient_edge_of(root)
            if node is None:
                raise RuntimeError(
                    "the tensor does not require grad and does not have a grad_fn: there is no graph to draw"
                )
            name = (self.names.get(id(root)) if isinstance(root, Tensor) else None) or "output"
            if self.inner.get((node, output_nr)) == name:
                del self.inner[node, output_nr]  # said once
            target = self.add("root", [name, shape_text(node._input_metadata[output_nr][0])])
            self.connect(node, output_nr, target)
            stack.append(node)
        seen = set(stack)
        while stack:
            node = stack.pop()
            for following, output_nr in node.next_functions:
                if following is None:
                    continue
                self.connect(following, output_nr, self.node(node))
                if following not in seen:
                    seen.add(following)
                    stack.append(following)
            if self.show_saved:
                for name, x in _saved_tensors(node):
                    self.edges.append(_Edge(self.add("saved", [name, x]), self.node(node), "", True))


def shape_text(shape: Sequence[int]) -> str:
    """``(2, 3)``; of a scalar ``()``."""
    return f"({', '.join(map(str, shape))})"


def escape(text: str) -> str:
    """Text as XML wants it (the module html takes longer to import than a picture to draw)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _saved_tensors(node: Any) -> Iterable[tuple[str, str]]:
    """Name and shape of each tensor that `node` has saved."""
    for name in dir(node):
        if not name.startswith("_raw_saved_"):
            continue
        try:
            found = getattr(node, name)
            several = isinstance(found, tuple)
            for i, saved in enumerate(found if several else (found,)):
                x = saved.unpack()
                if isinstance(x, Tensor):
                    yield f"saved {name[11:]}{f'[{i}]' if several else ''}", shape_text(x.shape)
        except RuntimeError:  # freed by a backward, or written since
            yield f"saved {name[11:]}", "not available"


def _picture(tensor: Any, params: Any, show_saved: bool) -> _Picture:
    if params is None:
        named: Iterable[tuple[str, Any]] = ()
    elif hasattr(params, "named_parameters"):
        named = params.named_parameters()
    elif isinstance(params, Mapping):
        named = params.items()
    else:
        named = params
    names: dict[int, str] = {}
    inner: dict[tuple[Any, int], str] = {}
    for name, x in named:
        if not isinstance(x, Tensor):
            raise TypeError(f"params must map names to tensors, but '{name}' is of type {type(x).__name__}")
        names[id(x)] = name
        if x.grad_fn is not None:
            inner[x.grad_fn, x.output_nr] = name
    picture = _Picture(names, inner, show_saved)
    # A gradient edge is a tuple too, of which the first member is a node.
    is_one = isinstance(tensor, Tensor) or hasattr(tensor, "output_nr")
    picture.walk([tensor] if is_one else list(tensor))
    return picture


def to_dot(tensor: Any, params: Any = None, *, show_saved: bool = False) -> str:
    """The graph behind a tensor in the language of Graphviz.

    Parameters
    ----------
    tensor : Tensor, GradientEdge or sequence of these
        Where the picture ends; its graph is followed to the leaves.
    params : module, dict of Tensor or iterable of (str, Tensor), optional
        Names for leaves, and for results inside the graph. A module's are those of its `named_parameters`.
        A leaf without a name is shown by its shape.
    show_saved : bool, default: False
        Show what each operation keeps for backward.

    Returns
    -------
    str
        What ``dot -Tsvg`` reads.

    See Also
    --------
    to_svg : The same as a picture, without Graphviz.

    Examples
    --------
    >>> import tensorgrad
    >>> w = tensorgrad.ones(3, requires_grad=True)
    >>> print(tensorgrad.autograd.graph.to_dot((w * 2).sum(), {"w": w}))
    digraph {
        node [fontname="monospace", fontsize=12, style="filled", margin="0.1,0.05"];
        edge [fontname="monospace", fontsize=10, arrowsize=0.7];
        v0 [label="output\\n()", shape=box, fillcolor="#cdeecb", color="#3f8f3c"];
        v1 [label="SumBackward0\\n()", shape=box, fillcolor="#f1f1f1", color="#7d7d7d"];
        v2 [label="MulBackward0\\n(3)", shape=box, fillcolor="#f1f1f1", color="#7d7d7d"];
        v3 [label="w\\n(3)", shape=box, fillcolor="#cfe3ff", color="#3b6fb6"];
        v1 -> v0;
        v2 -> v1;
        v3 -> v2;
    }
    """
    picture = _picture(tensor, params, show_saved)
    lines = [
        "digraph {",
        '    node [fontname="monospace", fontsize=12, style="filled", margin="0.1,0.05"];',
        '    edge [fontname="monospace", fontsize=10, arrowsize=0.7];',
    ]
    for i, vertex in enumerate(picture.vertices):
        shape, fill, border = STYLES[vertex.kind]
        label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in vertex.lines)
        lines.append(f'    v{i} [label="{label}", shape={shape}, fillcolor="{fill}", color="{border}"];')
    for edge in picture.edges:
        options = [*([f'label="{edge.label}"'] if edge.label else []), *(["style=dashed"] if edge.dashed else [])]
        attributes = f" [{', '.join(options)}]" if options else ""
        lines.append(f"    v{edge.source} -> v{edge.target}{attributes};")
    return "\n".join([*lines, "}"])


def to_svg(tensor: Any, params: Any = None, *, show_saved: bool = False) -> str:
    """The graph behind a tensor as a picture in SVG, which browsers and notebooks show.

    Parameters
    ----------
    tensor, params, show_saved
        As for `to_dot`.

    Returns
    -------
    str

    Examples
    --------
    >>> import tensorgrad
    >>> w = tensorgrad.ones(3, requires_grad=True)
    >>> picture = tensorgrad.autograd.graph.to_svg((w * 2).sum(), {"w": w})
    >>> picture[:38]
    '<svg xmlns="http://www.w3.org/2000/svg'
    """
    picture = _picture(tensor, params, show_saved)
    sizes = []
    for vertex in picture.vertices:
        round_ends = 14 if vertex.kind == "saved" else 0
        width = max(len(line) for line in vertex.lines) * CHARACTER + 18 + round_ends
        sizes.append((width, len(vertex.lines) * LINE + 10))
    drawing = layered(sizes, [(edge.source, edge.target) for edge in picture.edges])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{drawing.width:.0f}" height="{drawing.height:.0f}" '
        f'viewBox="0 0 {drawing.width:.1f} {drawing.height:.1f}" font-family="{FONT}" font-size="{FONT_SIZE:g}">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="#444"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for edge, path in zip(picture.edges, drawing.paths, strict=True):
        dash = ' stroke-dasharray="4 3"' if edge.dashed else ""
        parts.append(f'<path d="{_curve(path)}" fill="none" stroke="#444"{dash} marker-end="url(#arrow)"/>')
    for vertex, (width, height), (x, y) in zip(picture.vertices, sizes, drawing.centres, strict=True):
        _, fill, border = STYLES[vertex.kind]
        radius = height / 2 if vertex.kind == "saved" else 4
        parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="{radius:g}" fill="{fill}" stroke="{border}"/>'
        )
        first = y - LINE * (len(vertex.lines) - 1) / 2 + 0.35 * FONT_SIZE
        for i, line in enumerate(vertex.lines):
            weight = ' font-weight="bold"' if i == 0 and len(vertex.lines) > 1 else ""
            parts.append(
                f'<text x="{x:.1f}" y="{first + i * LINE:.1f}" text-anchor="middle"{weight}>{escape(line)}</text>'
            )
    for edge, path in zip(picture.edges, drawing.paths, strict=True):
        if edge.label:  # beside the arrow's head, on the side from which the edge does not come
            (x, y), before = path[-1], path[-3][0]
            side, anchor = (-5, "end") if before > x else (5, "start")
            parts.append(
                f'<text x="{x + side:.1f}" y="{y - 5:.1f}" font-size="10" fill="#444" text-anchor="{anchor}">'
                f"{escape(edge.label)}</text>"
            )
    return "\n".join([*parts, "</svg>"])


def _curve(path: Sequence[tuple[float, float]]) -> str:
    """A smooth line: straight down where it passes a layer, and vertical where it begins and ends between two."""
    (x, y), *rest = path
    parts = [f"M{x:.1f} {y:.1f}"]
    for i, (to_x, to_y) in enumerate(rest):
        if i % 2 == 1:
            bend = (to_y - y) * 0.45
            parts.append(f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}")
        elif to_y > y:  # a marker takes its direction from the last line, which must have a length
            parts.append(f"V{to_y:.1f}")
        x, y = to_x, to_y
    return "".join(parts)
