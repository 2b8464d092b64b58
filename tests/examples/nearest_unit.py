"""Where in a corpus is something like this? python nearest_unit.py UNITS ID START END (s)."""

import sys

import torch

from audiovq import units
from audiovq.units.tokens import TokenConfig, Tokenizer


def ends(query, corpus):
    """Return the edit distance of the query to the nearest stretch that ends at each unit."""
    place = torch.arange(len(corpus) + 1)
    row = torch.zeros(len(corpus) + 1, dtype=torch.int64)  # a match may start anywhere
    for i, unit in enumerate(query.tolist(), 1):
        other = torch.minimum(row[:-1] + (corpus != unit), row[1:] + 1)
        row = torch.cat([torch.tensor([i]), other])
        row = (row - place).cummin(0).values + place  # or a unit of the corpus too many
    return row[1:]


def nearest(query, tokens):
    """Return the distance of the nearest stretch of an utterance, its start and its end (s)."""
    corpus = tokens.ids[0]
    distance, last = ends(query, corpus).min(0)
    length = int(ends(query.flip(0), corpus[: last + 1].flip(0)).argmin()) + 1
    first = max(int(last) + 1 - length, 0)
    return int(distance), float(tokens.starts[0, first]), float(tokens.ends[0, last])


def main(found, name, start, end, count=5):
    """Return the nearest stretches to that of an utterance, best first, one per utterance."""
    tokenizer = Tokenizer.of(found, TokenConfig(codebooks=(0,), deduplicate=True))
    tokens = tokenizer.encode(found[name])
    query = tokens.ids[0, (tokens.ends[0] > start) & (tokens.starts[0] < end)]
    others = (r for r in found if r.id != name)
    return sorted((*nearest(query, tokenizer.encode(r)), r.id) for r in others)[:count]


if __name__ == "__main__":
    place = sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    for distance, start, end, name in main(units.load(sys.argv[1]), *place):
        print(f"{distance} edits: {name} from {start:.2f} to {end:.2f} s")
