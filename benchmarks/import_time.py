"""How long `import audiovq` takes, beside `import torch` alone; fresh interpreters, interleaved.

python benchmarks/import_time.py [--save]
"""

import subprocess
import sys

from _common import finish, interleaved

ROUNDS = 7


def main() -> None:
    def importing(name: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)

    names = ("torch", "audiovq")
    seconds = interleaved({n: lambda n=n: importing(n) for n in names}, ROUNDS)
    ratio = seconds["audiovq"] / seconds["torch"]
    table = [["import", "s"], *[[k, f"{v:.2f}"] for k, v in seconds.items()]]
    table.append(["audiovq / torch", f"{ratio:.2f}"])
    finish("import_time", {"rounds": ROUNDS, "seconds": seconds, "ratio": ratio}, table)


if __name__ == "__main__":
    main()
