"""Place the nodes of a layered graph so that few arrows cross: order within each layer, then horizontal positions.

An arrow that passes a layer takes a place there (a waypoint), as in the method of Sugiyama, Tagawa and Toda
(IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981). The result depends on the input only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

SWEEPS = 40
GAP = 18.0
WAYPOINT_WIDTH = 4.0

Waypoint = tuple[str, str, int]  # source, target, layer
Place = str | Waypoint


@dataclass(frozen=True)
class Layout:
    """Centres of nodes and waypoints on the horizontal axis, and the places that each arrow visits, from the top."""

    centre: Mapping[Place, float]
    widths: Mapping[str, float]
    arrows: Sequence[Sequence[Place]]
    width: float


@dataclass
class _Chains:
    rows: list[list[Place]]  # lowest layer first
    above: dict[Place, list[Place]] = field(default_factory=dict)
    below: dict[Place, list[Place]] = field(default_factory=dict)
    arrows: list[list[Place]] = field(default_factory=list)


def lay_out(
    layers: Sequence[Sequence[str]], arrows: Mapping[str, frozenset[str]], widths: Mapping[str, float]
) -> Layout:
    """Return the layout of `layers`, lowest first; `arrows` lead from a node to nodes on lower layers."""
    chains = _insert_waypoints(layers, arrows)
    _order(chains)
    width_of = {
        place: widths[place] if isinstance(place, str) else WAYPOINT_WIDTH for row in chains.rows for place in row
    }
    centre = _position(chains, width_of)
    left = min(centre[place] - width_of[place] / 2 for place in centre)
    right = max(centre[place] + width_of[place] / 2 for place in centre)
    return Layout({place: x - left for place, x in centre.items()}, widths, chains.arrows, right - left)


def _insert_waypoints(layers: Sequence[Sequence[str]], arrows: Mapping[str, frozenset[str]]) -> _Chains:
    level = {node: number for number, layer in enumerate(layers) for node in layer}
    chains = _Chains([list(layer) for layer in layers])
    for source in sorted(level):
        for target in sorted(arrows.get(source, frozenset()) & level.keys()):
            waypoints: list[Place] = [
                (source, target, number) for number in range(level[source] - 1, level[target], -1)
            ]
            for number, place in zip(range(level[source] - 1, level[target], -1), waypoints, strict=True):
                chains.rows[number].append(place)
            chain: list[Place] = [source, *waypoints, target]
            chains.arrows.append(chain)
            for upper, lower in pairwise(chain):
                chains.below.setdefault(upper, []).append(lower)
                chains.above.setdefault(lower, []).append(upper)
    return chains


def _order(chains: _Chains) -> None:
    """Sort each layer by the mean position of its neighbours, downwards and upwards in turn; keep the best order."""
    best = [list(row) for row in chains.rows]
    fewest = _crossings(chains)
    for sweep in range(SWEEPS):
        upwards = sweep % 2 == 0
        neighbours = chains.below if upwards else chains.above
        rows = chains.rows if upwards else chains.rows[::-1]
        for fixed, moved in pairwise(rows):
            position = {place: number for number, place in enumerate(fixed)}
            own = {place: number * len(fixed) / len(moved) for number, place in enumerate(moved)}
            means = {
                place: fmean(near) if (near := [position[other] for other in neighbours.get(place, ())]) else own[place]
                for place in moved
            }
            moved.sort(key=means.__getitem__)
        if (crossings := _crossings(chains)) < fewest:
            best, fewest = [list(row) for row in chains.rows], crossings
    chains.rows = best


def _crossings(chains: _Chains) -> int:
    total = 0
    for lower, upper in pairwise(chains.rows):
        position = {place: number for number, place in enumerate(lower)}
        ends = [end for place in upper for end in sorted(position[other] for other in chains.below.get(place, ()))]
        total += sum(left > right for number, left in enumerate(ends) for right in ends[number + 1 :])
    return total


def _position(chains: _Chains, width: Mapping[Place, float]) -> dict[Place, float]:
    """Move each layer towards its neighbours, downwards and upwards in turn, without changing its order."""
    centre: dict[Place, float] = {}
    for row in chains.rows:
        centre.update(zip(row, _spread([0.0] * len(row), [width[place] for place in row]), strict=True))
    for sweep in range(SWEEPS):
        neighbours = (chains.above, chains.below)[sweep % 2]
        for row in chains.rows if sweep % 2 else chains.rows[::-1]:
            wanted = [
                fmean(near) if (near := [centre[other] for other in neighbours.get(place, ())]) else centre[place]
                for place in row
            ]
            centre.update(zip(row, _spread(wanted, [width[place] for place in row]), strict=True))
    return centre


def _spread(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Return centres near `wanted`, in the same order and at least `GAP` apart (pool adjacent violators)."""
    offsets = [0.0]
    for left, right in pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + GAP)
    blocks: list[list[float]] = []
    for target, offset in zip(wanted, offsets, strict=False):
        blocks.append([target - offset])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    starts = [fmean(block) for block in blocks for _ in block]
    return [start + offset for start, offset in zip(starts, offsets, strict=False)]
