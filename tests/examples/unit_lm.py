"""A unit language model: python unit_lm.py UNITS (a folder of `audiovq extract`)."""

import sys
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from audiovq import units
from audiovq.units.dataset import TokenBatches, UnitDataset, collate
from audiovq.units.tokens import TokenConfig, Tokenizer


class UnitLM(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.embed, self.gru = nn.Embedding(size, 64), nn.GRU(64, 128, batch_first=True)
        self.out = nn.Linear(128, size)

    def forward(self, tokens):  # (B, n) -> logits of the next (B, n, size)
        return self.out(self.gru(self.embed(tokens))[0])


def bits(model, batch, pad):
    """Return the bits per unit, each given those before it."""
    logits, target = model(batch.tokens[:, :-1]).transpose(1, 2), batch.tokens[:, 1:]
    return F.cross_entropy(logits, target, ignore_index=pad) / torch.tensor(2.0).log()


def main(found, epochs=10):
    """Train on the split train; return the bits per unit of the split test."""
    tokenizer = Tokenizer.of(found, TokenConfig(codebooks=(0,), deduplicate=True, bos=True))
    data, pad = UnitDataset(found, tokenizer, "train"), tokenizer.vocabulary.pad
    batches = TokenBatches(data.lengths(), max_tokens=4000)
    loader = DataLoader(data, batch_sampler=batches, collate_fn=partial(collate, pad=pad))
    model = UnitLM(tokenizer.vocabulary.size)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            bits(model, batch, pad).backward()
            optimizer.step()
    test = UnitDataset(found, tokenizer, "test")
    with torch.no_grad():
        return float(bits(model, collate([test[i] for i in range(len(test))], pad), pad))


if __name__ == "__main__":
    print(f"{main(units.load(sys.argv[1])):.3f} bit per unit")
