"""What real recordings cost as compressed files, beside what the prior says, FLAC and wav.

python benchmarks/compression.py MANIFEST MODEL PRIOR [NUMBER] [BLOCK_SECONDS] [--save]

NUMBER utterances (50) of the test split, evenly spread over it, and of the validation split where
those are too few; blocks of 60 s. Every file is decoded in another process at another thread
count, and its codes compared.
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile
import torch
from _common import finish, in_subprocess

import audiovq
from audiovq import prior as priors
from audiovq.coding.coders import packed_size
from audiovq.coding.header import parse
from audiovq.coding.prior_codes import PriorCodes
from audiovq.data import manifest as manifests

DECODE = """
import json, sys, time, torch
torch.set_num_threads(int(sys.argv[4]))
import audiovq
from audiovq import prior
from audiovq.coding import codes_of
from audiovq.coding.prior_codes import PriorCodes
model, coder = audiovq.load(sys.argv[1]), PriorCodes(prior.load(sys.argv[2]))
names = json.loads(open(sys.argv[3]).read())
start = time.perf_counter()
codes = [codes_of(name, model, coder)[0].tolist() for name in names]
seconds = time.perf_counter() - start
json.dump(codes, open(sys.argv[3] + ".codes", "w"))
print(json.dumps(seconds))
"""


def chosen(manifest: manifests.Manifest, number: int) -> Sequence[Any]:
    """Utterances of the test split, evenly spread; all, and some of validation, if they are few."""
    test, more = manifest.select("test"), manifest.select("validation")
    if number <= len(test):
        return [test[i * len(test) // number] for i in range(number)]
    rest = min(number - len(test), len(more))
    return [*test, *(more[i * len(more) // rest] for i in range(rest))]


def lossless_bytes(x: torch.Tensor, sample_rate: int, form: str) -> int:
    out = io.BytesIO()
    soundfile.write(out, x.flatten().numpy(), sample_rate, "PCM_16", format=form)
    return len(out.getvalue())


@torch.no_grad()
def prior_bits(module: torch.nn.Module, codes: torch.Tensor, frames: int) -> float:
    """Bits of codes under the prior in float32, begun afresh in each block."""
    blocks = torch.split(codes, frames, dim=-1)
    nats = sum(-float(module.log_prob(b).double().sum()) for b in blocks)  # type: ignore[operator]
    return nats / float(torch.log(torch.tensor(2.0, dtype=torch.float64)))


def measure(x: Any, model: Any, prior: Any, coder: Any, block: float) -> tuple[dict[str, Any], Any]:
    codes = model.encode(x, exact=True)
    start = time.perf_counter()
    data = model.compress(x, coder, block_seconds=block)
    seconds = time.perf_counter() - start
    header = parse(data, "the data")
    payload = len(data) - 40 - 8 * header.blocks
    bits = prior_bits(prior.module, codes, header.block_frames)
    packed = packed_size(model, header)
    row = {
        "seconds": header.seconds,
        "codes": codes.numel(),
        "blocks": header.blocks,
        "payload_bytes": payload,
        "packed_payload_bytes": packed - 40 - 8 * header.blocks,
        "avq_bytes": len(data),
        "packed_avq_bytes": packed,
        "flac_bytes": lossless_bytes(x, model.sample_rate, "FLAC"),
        "wav_bytes": lossless_bytes(x, model.sample_rate, "WAV"),
        "prior_bits": bits,
        "excess_bytes_per_block": (payload - bits / 8) / header.blocks,
        "within": payload <= 1.01 * bits / 8 + 8 * header.blocks,
        "encoding_seconds": seconds,
    }
    return row, (data, codes)


def decoded_alike(
    model: str, prior: str, files: Sequence[tuple[bytes, torch.Tensor]], threads: int
) -> tuple[list[bool], float]:
    """Whether each file's codes come back in another process, and how long that took."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for i, (data, _) in enumerate(files):
            path = Path(folder) / f"{i}.avq"
            path.write_bytes(data)
            names.append(str(path))
        listed = Path(folder) / "names.json"
        listed.write_text(json.dumps(names))
        seconds = in_subprocess(DECODE, model, prior, str(listed), str(threads))
        back = json.loads(Path(f"{listed}.codes").read_text())
    same = [codes[0].tolist() == b for (_, codes), b in zip(files, back, strict=True)]
    return same, seconds


def totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("seconds", "codes", "blocks", "payload_bytes", "packed_payload_bytes", "avq_bytes",
             "packed_avq_bytes", "flac_bytes", "wav_bytes", "prior_bits",
             "encoding_seconds")  # fmt: skip
    total: dict[str, Any] = {n: sum(r[n] for r in rows) for n in names}
    ideal = total["prior_bits"] / 8
    total["excess_percent"] = 100 * (total["payload_bytes"] / ideal - 1)
    total["excess_bytes_per_block"] = (total["payload_bytes"] - ideal) / total["blocks"]
    total["largest_excess_bytes_per_block"] = max(r["excess_bytes_per_block"] for r in rows)
    total["within"] = sum(r["within"] for r in rows)
    return total


def rates(total: dict[str, Any]) -> list[list[Any]]:
    """Return the table's rows of sizes."""
    sizes = {
        "16-bit wav": "wav_bytes",
        "FLAC": "flac_bytes",
        ".avq, bit-packed": "packed_avq_bytes",
        ".avq with the prior": "avq_bytes",
        "  payload": "payload_bytes",
    }
    table: list[list[Any]] = [["", "bytes", "bit/s", "of wav"]]
    for label, name in sizes.items():
        n = total[name]
        share = f"{100 * n / total['wav_bytes']:.2f} %"
        table.append([label, f"{n:,}", f"{8 * n / total['seconds']:.1f}", share])
    bits = total["prior_bits"]
    table.append(["  prior's bits", f"{bits / 8:,.1f}", f"{bits / total['seconds']:.1f}", ""])
    return table


def checks(total: dict[str, Any], files: int, same: int, decoding: float) -> list[list[Any]]:
    """Return the table's rows of promises and speeds."""
    most = f"at most {total['largest_excess_bytes_per_block']:.2f}"
    return [
        ["payload above the prior's bits", f"{total['excess_percent']:.2f} %", "", ""],
        ["  bytes per block", f"{total['excess_bytes_per_block']:.2f}", most, ""],
        ["within 1 % + 8 bytes per block", f"{total['within']} of {files}", "", ""],
        ["same codes elsewhere, 2 threads", f"{same} of {files}", "", ""],
        ["encoding, x real time", f"{total['seconds'] / total['encoding_seconds']:.1f}", "", ""],
        ["decoding to codes, x real time", f"{total['seconds'] / decoding:.1f}", "", ""],
    ]


def main() -> None:
    torch.set_num_threads(1)
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    number = int(words[3]) if len(words) > 3 else 50
    block = float(words[4]) if len(words) > 4 else 60.0
    manifest = manifests.read(Path(words[0]))
    model, prior = audiovq.load(words[1]), priors.load(words[2])
    coder = PriorCodes(prior)
    rows, files = [], []
    for record in chosen(manifest, number):
        row, file = measure(manifest.load(record, model.sample_rate), model, prior, coder, block)
        rows.append({"id": record.id, **row})
        files.append(file)
    same, decoding = decoded_alike(words[1], words[2], files, 2)
    total = totals(rows)
    table = rates(total) + checks(total, len(rows), sum(same), decoding)
    facts = {"model": model.fingerprint(), "prior": prior.fingerprint(),
             "prior_name": prior.about.prior.name, "block_seconds": block}  # fmt: skip
    values = {**facts, "files": len(rows), "decoded_alike": sum(same), "decoding_seconds": decoding,
              "totals": total, "each": rows}  # fmt: skip
    finish("compression", values, table)


if __name__ == "__main__":
    main()
