"""A recogniser of what was said, from units, with CTC: python unit_ctc.py UNITS."""

import sys
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from audiovq import units
from audiovq.units.dataset import TokenBatches, UnitDataset, collate
from audiovq.units.tokens import TokenConfig, Tokenizer


class Recogniser(nn.Module):
    def __init__(self, size, characters):
        super().__init__()
        self.embed = nn.Embedding(size, 64)
        self.gru = nn.GRU(64, 64, batch_first=True, bidirectional=True)
        self.out = nn.Linear(128, characters + 1)  # 0 is CTC's blank

    def forward(self, tokens):  # (B, n) -> log probabilities (B, n, characters + 1)
        return self.out(self.gru(self.embed(tokens))[0]).log_softmax(-1)


def main(found, epochs=30, rate=5e-3):
    """Train on the split train; return pairs (said, recognised) of the split test."""
    tokenizer = Tokenizer.of(found, TokenConfig(codebooks=(0,)))
    data, pad = UnitDataset(found, tokenizer, "train"), tokenizer.vocabulary.pad
    alphabet = sorted({c for r in found.select("train") for c in r.text})
    batches = TokenBatches(data.lengths(), max_tokens=2000)
    loader = DataLoader(data, batch_sampler=batches, collate_fn=partial(collate, pad=pad))
    model = Recogniser(tokenizer.vocabulary.size, len(alphabet))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        for batch in loader:
            targets = [torch.tensor([1 + alphabet.index(c) for c in t]) for t in batch.texts]
            sizes = torch.tensor([len(t) for t in targets])
            log_p = model(batch.tokens).transpose(0, 1)
            loss = F.ctc_loss(log_p, torch.cat(targets), batch.lengths, sizes, zero_infinity=True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [(r.text, recognise(model, tokenizer, alphabet, r)) for r in found.select("test")]


@torch.no_grad()
def recognise(model, tokenizer, alphabet, record):
    """Return the best path's characters: repeats merged, blanks dropped."""
    best = model(tokenizer.encode(record).ids).argmax(-1)[0].unique_consecutive()
    return "".join(alphabet[i - 1] for i in best.tolist() if i)


if __name__ == "__main__":
    for said, recognised in main(units.load(sys.argv[1])):
        print(f"{said!r} -> {recognised!r}")
