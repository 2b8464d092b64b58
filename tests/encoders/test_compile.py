"""torch.compile gives what eager mode gives, in one graph; in a process without hooks."""

import subprocess
import sys

from audiovq import registry

SCRIPT = """
import sys, warnings
import torch
from audiovq import registry
from audiovq.config import parse

warnings.simplefilter("ignore")
torch.set_num_threads(1)
for name in sys.argv[1:]:
    found = registry.get("encoders", name)
    encoder = found.cls(parse(found.config, {"name": name, "channels": 4, "strides": [4, 5]}), 3)
    x = torch.randn(2, 1, 200)
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    for wanted in (True, False):
        with torch.set_grad_enabled(wanted):
            torch.testing.assert_close(compiled(x), encoder(x), atol=1e-5, rtol=1e-4)
    print(name)
"""


def test_every_encoder_compiles_with_gradients_and_without():
    names = registry.names("encoders")
    command = [sys.executable, "-c", SCRIPT, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == list(names)
