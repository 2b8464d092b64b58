"""How many codes change when the encoder runs in bf16 or compiled; given the same frames, none do.

python benchmarks/precision.py MODEL MANIFEST [--save]
"""

import sys

import torch
from _common import finish
from torch import Tensor

import audiovq
from audiovq.bottlenecks._base import Context
from audiovq.data import manifest as manifests

UTTERANCES, SECONDS = 50, 4.0


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    model = audiovq.load(sys.argv[1])
    corpus = manifests.read(sys.argv[2])
    chosen = corpus.records[:: max(1, len(corpus.records) // UTTERANCES)][:UTTERANCES]
    size = round(SECONDS * model.sample_rate) // model.hop_length * model.hop_length
    waves = [corpus.load(r, model.sample_rate)[..., :size] for r in chosen]
    waves = [w for w in waves if w.shape[-1] == size]  # one shape, so that one compilation serves
    plain = torch.cat([model.encoder(x) for x in waves])
    bottleneck, context = model.bottleneck, Context()
    codes = bottleneck.encode(plain, context)

    def bf16(call: object, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return call(x)  # type: ignore[operator,no-any-return]

    compiled_encoder = torch.compile(model.encoder)
    compiled_bottleneck = torch.compile(bottleneck.encode)
    frames = {
        "encoder in bf16": torch.cat([bf16(model.encoder, x).float() for x in waves]),
        "encoder compiled": torch.cat([compiled_encoder(x) for x in waves]),
    }
    changed = {name: int((bottleneck.encode(z) != codes).sum()) for name, z in frames.items()}
    changed["quantizer under bf16, same frames"] = int(
        (bf16(bottleneck.encode, plain) != codes).sum()
    )
    changed["quantizer compiled, same frames"] = int(
        (compiled_bottleneck(plain, context) != codes).sum()
    )
    total = codes.numel()
    table = [[f"codes changed of {total:,}", "", "share"]]
    table += [[name, f"{n:,}", f"{n / total:.2%}"] for name, n in changed.items()]
    finish("precision", {"codes": total, "utterances": len(waves), "changed": changed}, table)


if __name__ == "__main__":
    main()
