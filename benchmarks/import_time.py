"""How long `import audiovq` and `audiovq.load` take, beside `import torch`; fresh interpreters.

python benchmarks/import_time.py [--save]
"""

import subprocess
import sys

from _common import finish, interleaved

ROUNDS = 7


def main() -> None:
    def importing(name: str) -> None:
        subprocess.run([sys.executable, "-c", name], check=True)

    names = ("import torch", "import audiovq", "from audiovq import load")
    seconds = interleaved({n: lambda n=n: importing(n) for n in names}, ROUNDS)
    ratio = seconds["from audiovq import load"] / seconds["import torch"]
    table = [["statement", "s"], *[[k, f"{v:.2f}"] for k, v in seconds.items()]]
    table.append(["the last over the first", f"{ratio:.2f}"])
    finish("import_time", {"rounds": ROUNDS, "seconds": seconds, "ratio": ratio}, table)


if __name__ == "__main__":
    main()
