"""torch.compile gives the codes of eager mode for the same frames; in a process without hooks."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys, warnings
import torch
from audiovq import registry
from audiovq.bottlenecks._base import Context
from audiovq.config import parse

warnings.simplefilter("ignore")
torch.set_num_threads(1)
for name in sys.argv[1:]:
    found = registry.get("bottlenecks", name)
    module = found.cls(parse(found.config, {"name": name})).eval()
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4, module.in_channels, 64 * module.stride, generator=generator)
    module.initialise(z)
    context = Context(keys=torch.arange(4))
    eager = module(z, context)
    compiled = torch.compile(module, fullgraph=name == "vq_ema")(z, context)
    same = (compiled.codes == eager.codes).all()
    assert same, (name, int((compiled.codes != eager.codes).sum()))
    torch.testing.assert_close(compiled.z, eager.z, atol=1e-5, rtol=1e-4)
    for key, value in eager.statistics.sums.items():
        torch.testing.assert_close(compiled.statistics.sums[key], value, atol=1e-3, rtol=1e-4)
    print(name)
"""


def compiled(*names):
    command = [sys.executable, "-c", SCRIPT, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == list(names)


def test_compiled_ema_quantizer_gives_the_same_codes():
    compiled("vq_ema")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vq", "simvq", "rvq", "gvq", "fsq", "lfq", "bsq", "vqvae2"])
def test_every_compiled_quantizer_gives_the_same_codes(name):
    compiled(name)
