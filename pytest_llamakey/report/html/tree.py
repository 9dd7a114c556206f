"""Where each process of a replica stands in its picture: parents above, children indented below, many in a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llamakey.report.model import ReplicaReport, WorkerReport

WIDTH = 320
ROW = 44
INDENT = 26
MARGIN = 18
CELL = 44
IN_ROWS = 12
"""Children that have a row each; more stand in a grid, their details in the table below."""
WIDE_GRID = 24
"""Children from which on the grid is as wide as a page."""
WIDE = 960


@dataclass(frozen=True)
class Node:
    """A process at its place; ``text`` says whether there is room for words beside it."""

    x: int
    y: int
    process: WorkerReport
    text: bool


@dataclass(frozen=True)
class Tree:
    """The picture's size, its nodes, and the lines between them as the ``d`` of an SVG path."""

    width: int
    height: int
    nodes: tuple[Node, ...]
    lines: str


def layout(replica: ReplicaReport) -> Tree:
    """The tree of ``replica``; a process whose parent is not among them is a root."""
    known = {process.pid for process in replica.workers}
    children: dict[int, list[WorkerReport]] = {}
    for process in replica.workers:
        # A process cannot be its own parent; were it told so, it would never be drawn.
        parent = process.ppid if process.ppid in known and process.ppid != process.pid else 0
        children.setdefault(parent, []).append(process)
    placed = _Placed(children)
    placed.add(children.get(0, []), MARGIN, None)
    # Parents that are each other's children hang from no root: two pids of different moments may tell so.
    lost = [process for process in replica.workers if process.pid not in placed.pids]
    if lost:
        placed.rows(lost, MARGIN, None)
    width = max([WIDTH, *(node.x + MARGIN for node in placed.nodes)])
    return Tree(width, placed.y - ROW // 2 + 4, tuple(placed.nodes), "".join(placed.lines))


class _Placed:
    """The nodes placed so far, from top to bottom."""

    def __init__(self, children: Mapping[int, Sequence[WorkerReport]]) -> None:
        self.children = children
        self.nodes: list[Node] = []
        self.lines: list[str] = []
        self.pids: set[int] = set()
        self.y = ROW // 2 + 2

    def add(self, processes: Sequence[WorkerReport], x: int, parent: Node | None) -> None:
        parents = [process for process in processes if process.pid in self.children]
        leaves = [process for process in processes if process.pid not in self.children]
        if len(leaves) > IN_ROWS:
            self.grid(leaves, x, parent)
            leaves = []
        together = {process.pid for process in (*parents, *leaves)}
        self.rows([process for process in processes if process.pid in together], x, parent)

    def rows(self, processes: Sequence[WorkerReport], x: int, parent: Node | None) -> None:
        for process in processes:
            if process.pid in self.pids:
                continue
            node = self._node(process, x, self.y, text=True)
            self._line(parent, node.x, node.y)
            self.y += ROW
            self.add(self.children.get(process.pid, ()), x + INDENT, node)

    def grid(self, processes: Sequence[WorkerReport], x: int, parent: Node | None) -> None:
        across = ((WIDE if len(processes) > WIDE_GRID else WIDTH) - x - MARGIN) // CELL + 1
        for index, process in enumerate(processes):
            node = self._node(process, x + index % across * CELL, self.y + index // across * ROW, text=False)
            if index % across == 0:
                self._line(parent, node.x, node.y)
        self.y += -(-len(processes) // across) * ROW

    def _node(self, process: WorkerReport, x: int, y: int, *, text: bool) -> Node:
        node = Node(x, y, process, text)
        self.nodes.append(node)
        self.pids.add(process.pid)
        return node

    def _line(self, parent: Node | None, x: int, y: int) -> None:
        if parent is not None:
            self.lines.append(f"M{parent.x} {parent.y}V{y}H{x}")
