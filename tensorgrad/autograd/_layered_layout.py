"""Where the vertices of a directed acyclic graph go on paper: in layers from top to bottom, with few crossings.

The steps are those of Sugiyama, Tagawa and Toda (1981): every vertex gets a layer below those of its
predecessors; an edge that passes layers gets a bend in each; the vertices of a layer are put in order by
the mean place of their neighbours, sweep after sweep; and last each layer is given coordinates, near the
neighbours but apart from each other, which is an isotonic regression.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Drawing", "layered"]

Point = tuple[float, float]

GAP_X, GAP_Y, MARGIN = 22.0, 34.0, 12.0
BEND_WIDTH = 6.0
PORT_GAP = 14.0
SWEEPS = 12
MOST_BENDS = 20_000  # with more, long edges are drawn as if nothing lay between


class Drawing(NamedTuple):
    """Coordinates of a graph.

    Attributes
    ----------
    width, height : float
    centres : list of (float, float)
        Of each vertex.
    paths : list of list of (float, float)
        Of each edge, straight and free lines in turn: from its source to the end of the layer, to the next
        layer, through that, and so on until the layer and the box of its target.
    """

    width: float
    height: float
    centres: list[Point]
    paths: list[list[Point]]


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each vertex: as high as its predecessors allow, but no source higher than it need be."""
    successors: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for a, b in edges:
        successors[a].append(b)
        waiting[b] += 1
    sources = [v for v in range(count) if not waiting[v]]
    layer = [0] * count
    ready = list(sources)
    while ready:
        a = ready.pop()
        for b in successors[a]:
            layer[b] = max(layer[b], layer[a] + 1)
            waiting[b] -= 1
            if not waiting[b]:
                ready.append(b)
    for v in sources:
        if successors[v]:
            layer[v] = min(layer[b] for b in successors[v]) - 1
    lowest = min(layer, default=0)
    return [n - lowest for n in layer]


def _crossings(upper: Sequence[int], below: Sequence[Sequence[int]], place: Sequence[float]) -> int:
    """How many pairs of edges between two layers cross: those whose ends lie in the opposite order."""
    found = 0
    passed: list[float] = []  # the ends of the edges so far, in order
    for v in upper:
        ends = sorted(place[w] for w in below[v])
        found += sum(len(passed) - bisect_right(passed, end) for end in ends)
        for end in ends:
            insort(passed, end)
    return found


def _ordered(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    """The rows with their vertices in an order of few crossings."""
    place = [0.0] * len(above)

    def settle(rows: list[list[int]]) -> int:
        for row in rows:
            for i, v in enumerate(row):
                place[v] = i
        return sum(_crossings(row, below, place) for row in rows[:-1] if len(row) > 1)

    rows = [list(row) for row in rows]
    best, fewest = [list(row) for row in rows], settle(rows)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        downwards = sweep % 2 == 0
        neighbours = above if downwards else below
        for row in rows if downwards else reversed(rows):
            mean = {v: sum(place[w] for w in neighbours[v]) / len(neighbours[v]) for v in row if neighbours[v]}
            row.sort(key=lambda v: mean.get(v, place[v]))
            for i, v in enumerate(row):
                place[v] = i
        found = settle(rows)
        if found < fewest:
            best, fewest = [list(row) for row in rows], found
    return best


def _spaced(wanted: Sequence[float], apart: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The places nearest to `wanted` of which neighbours are `apart` at least (pool adjacent violators)."""
    offsets = [0.0]
    for distance in apart:
        offsets.append(offsets[-1] + distance)
    blocks: list[list[float]] = []  # mean, weight, length
    for x, offset, weight in zip(wanted, offsets, weights, strict=True):
        blocks.append([x - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight2, length = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * weight2) / (last[1] + weight2)
            last[1] += weight2
            last[2] += length
    means = [mean for mean, _, length in blocks for _ in range(int(length))]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _coordinates(
    rows: list[list[int]], above: list[list[int]], below: list[list[int]], widths: Sequence[float], real: int
) -> list[float]:
    """The horizontal place of each vertex; those from `real` on are bends, which are kept straight."""
    x = [0.0] * len(widths)

    def distances(row: list[int]) -> list[float]:
        return [(widths[a] + widths[b]) / 2 + GAP_X for a, b in pairwise(row)]

    for row in rows:
        placed = _spaced([0.0] * len(row), distances(row), [1.0] * len(row))
        for v, at in zip(row, placed, strict=True):
            x[v] = at
    for sweep in range(2 * SWEEPS):
        both = sweep >= 2 * SWEEPS - 4
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted, weights = [], []
            for v in row:
                near = above[v] + below[v] if both else (above[v] if sweep % 2 == 0 else below[v])
                wanted.append(sum(x[w] for w in near) / len(near) if near else x[v])
                weights.append((8.0 if v >= real else 1.0) * (len(near) or 0.1))
            for v, at in zip(row, _spaced(wanted, distances(row), weights), strict=True):
                x[v] = at
    left = min((at - width / 2 for at, width in zip(x, widths, strict=True)), default=0.0)
    return [at - left + MARGIN for at in x]


def _ports(
    edges: Sequence[tuple[int, int]], ends: list[list[int]], at: list[float], widths: Sequence[float], side: int
) -> list[float]:
    """How far from the middle of its source (side 0) or target (side 1) each edge begins or ends."""
    offsets = [0.0] * len(edges)
    of: dict[int, list[int]] = {}
    for e, edge in enumerate(edges):
        of.setdefault(edge[side], []).append(e)
    for v, members in of.items():
        # in the order in which the other ends lie
        members.sort(key=lambda e: at[ends[e][1] if side == 0 else ends[e][-2]])
        step = min(PORT_GAP, widths[v] / (len(members) + 1))
        for i, e in enumerate(members):
            offsets[e] = step * (i - (len(members) - 1) / 2)
    return offsets


def layered(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Drawing:
    """Lay out a graph without cycles.

    Parameters
    ----------
    sizes : sequence of (width, height)
        Of each vertex.
    edges : sequence of (int, int)
        Source and target of each; several may join the same two vertices.

    Returns
    -------
    Drawing
    """
    real = len(sizes)
    widths = [width for width, _ in sizes]
    layer = _layers(real, edges)
    chains: list[list[int]] = []
    bends = sum(layer[b] - layer[a] - 1 for a, b in edges) <= MOST_BENDS
    for a, b in edges:
        chain = [a]
        for n in range(layer[a] + 1, layer[b]) if bends else ():
            chain.append(len(layer))
            layer.append(n)
            widths.append(BEND_WIDTH)
        chains.append([*chain, b])
    above: list[list[int]] = [[] for _ in layer]
    below: list[list[int]] = [[] for _ in layer]
    for chain in chains:
        for a, b in pairwise(chain):
            below[a].append(b)
            above[b].append(a)
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for v, n in enumerate(layer):
        rows[n].append(v)
    rows = _ordered(rows, above, below)
    x = _coordinates(rows, above, below, widths, real)
    tops, heights, y = [], [], MARGIN
    for row in rows:
        height = max((sizes[v][1] for v in row if v < real), default=0.0)
        tops.append(y)
        heights.append(height)
        y += height + GAP_Y
    centres = [(x[v], tops[layer[v]] + heights[layer[v]] / 2) for v in range(real)]
    leaves, enters = (_ports(edges, chains, x, widths, side) for side in (0, 1))
    paths = []
    for e, chain in enumerate(chains):
        a, b = chain[0], chain[-1]
        start, end = x[a] + leaves[e], x[b] + enters[e]
        path = [(start, centres[a][1] + sizes[a][1] / 2), (start, tops[layer[a]] + heights[layer[a]])]
        for v in chain[1:-1]:
            path += [(x[v], tops[layer[v]]), (x[v], tops[layer[v]] + heights[layer[v]])]
        paths.append([*path, (end, tops[layer[b]]), (end, centres[b][1] - sizes[b][1] / 2)])
    width = max((at + w / 2 for at, w in zip(x, widths, strict=True)), default=0.0) + MARGIN
    return Drawing(width, max(y - GAP_Y, 0.0) + MARGIN, centres, paths)
