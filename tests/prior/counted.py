"""A prior in one file that counts and is not trained: its table's length is known once it has."""

import torch
from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.prior._base import Condition, Prior

NO_CONDITION = Condition()


class Config(ComponentConfig):
    floor: float = Field(0.5, gt=0, description="added to every count")


class Counted(Prior):
    def __init__(self, config, codebook_sizes, labels=0):
        super().__init__()
        self.config, self.codebook_sizes, self.labels = config, tuple(codebook_sizes), labels
        self.context = 0
        self.register_buffer("seen", torch.empty(0, dtype=torch.int64))

    def fit(self, corpus):
        self.seen = torch.cat([codes.flatten() for codes, _ in corpus])

    def _load_from_state_dict(self, state_dict, prefix, *others, **more):
        self.seen = torch.empty_like(state_dict[f"{prefix}seen"])
        super()._load_from_state_dict(state_dict, prefix, *others, **more)

    def forward(self, codes, lengths=None, condition=NO_CONDITION):
        B, K, T = codes.shape
        counts = torch.bincount(self.seen, minlength=max(self.codebook_sizes)) + self.config.floor
        return (counts / counts.sum()).log().view(1, 1, -1, 1).expand(B, K, -1, T)

    def groups(self, frames):
        return ([(k, t)] for t in range(frames) for k in range(self.num_codebooks))

    def steps(self, batch, frames, condition=NO_CONDITION):
        raise NotImplementedError
