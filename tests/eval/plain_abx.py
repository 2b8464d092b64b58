"""ABX and warping written down as they are defined: slow and obvious, for tests and benchmarks."""

import math
from collections import defaultdict
from itertools import product


def plain_dtw(cost):
    """Return the least cost over path length; ties: followed back by (1,1), (0,1), then (1,0)."""
    rows, columns = len(cost), len(cost[0])
    total = [[0.0] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            before = [total[a][b] for a, b in _steps(i, j)]
            total[i][j] = cost[i][j] + (min(before) if before else 0)
    i, j, length = rows - 1, columns - 1, 1
    while (i, j) != (0, 0):
        i, j = min(_steps(i, j), key=lambda p: total[p[0]][p[1]])  # min takes the first of equals
        length += 1
    return total[-1][-1] / length


def _steps(i, j):
    return [(a, b) for a, b in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if a >= 0 and b >= 0]


def plain_items(utterances, task):
    """Return (phone, context, speaker, frames) of every item."""
    items = []
    for u in utterances:
        phones = [p for p in u.phones if p[2] is not None]
        for i, (start, end, label) in enumerate(phones):
            context, span = None, (start, end)
            if label == "sil":
                continue
            if task == "triphone":
                if i == 0 or i == len(phones) - 1:
                    continue
                context = phones[i - 1][2], phones[i + 1][2]
                span = phones[i - 1][0], phones[i + 1][1]
            inside = [
                frame
                for t, frame in enumerate(u.frames)
                if span[0] - 1e-9 <= (t + 0.5) * u.hop <= span[1] + 1e-9
            ]
            if inside:
                items.append((label, context, u.speaker, inside))
    return items


def plain_distance(a, b, distance):
    """Return the distance of two items."""
    return plain_dtw([[distance(x, y) for y in b] for x in a])


def plain_abx(utterances, task, mode, distance):
    """Return the error, the number of cells, of triples and of pairs, one triple at a time."""
    items = plain_items(utterances, task)
    cells, pairs, known = defaultdict(list), set(), {}

    def d(x, y):
        pairs.add(frozenset((x, y)))
        same = items[x][0] == items[y][0] and mode == "within"
        row, column = sorted((x, y)) if same else (x, y)
        if (row, column) not in known:
            known[row, column] = plain_distance(items[row][3], items[column][3], distance)
        return known[row, column]

    groups = defaultdict(list)
    for number, (phone, context, speaker, _) in enumerate(items):
        groups[phone, context, speaker].append(number)
    for (p, context, s), (q, c, s2) in product(groups, groups):
        if q == p or c != context or s2 != s:
            continue
        for (r, e, sx), xs in groups.items():
            if r != p or e != context or (sx == s) != (mode == "within"):
                continue
            for a, b, x in product(groups[p, context, s], groups[q, context, s], xs):
                if a != x:
                    ax, bx = d(x, a), d(x, b)
                    wins = 1.0 if ax < bx else 0.5 if ax == bx else 0.0
                    cells[p, q, s, context, sx].append(1 - wins)
    by_speaker, by_pair = defaultdict(list), defaultdict(list)
    for (p, q, s, _, _), errors in cells.items():
        by_speaker[p, q, s].append(math.fsum(errors) / len(errors))
    for (p, q, _), errors in by_speaker.items():
        by_pair[p, q].append(math.fsum(errors) / len(errors))
    means = [math.fsum(e) / len(e) for e in by_pair.values()]
    error = math.fsum(means) / len(means) if means else None
    return error, len(cells), sum(map(len, cells.values())), len(pairs)
