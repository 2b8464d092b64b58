"""Made-up English sentences, the same ones for the same seed."""

import numpy as np

_PEOPLE = """the teacher|my sister|an old sailor|the young doctor|our neighbour|a clever fox|
the baker|the night guard|a tired nurse|the king's cousin|every farmer|the choir|a small child|
the judge|two brothers|the fisherman|her uncle George|the chef|a quiet stranger|the pilot|
Mister Hughes|the shy girl|both engineers|a juggler|the whole village""".replace("\n", "").split(
    "|"
)
_ACTS = """carried|found|washed|painted|measured|sold|borrowed|dropped|watched|fixed|photographed|
buried|weighed|shared|chose|polished|forgot|noticed|threw away|joined|delivered|pushed|tasted|
examined|gave back""".replace("\n", "").split("|")
_THINGS = """a heavy wooden box|the yellow bicycle|seven fresh oranges|the broken clock|
a letter from Europe|the shining bowl|an hour of music|the rusty gate|a jar of honey|his grey coat|
the cheap umbrella|a pair of gloves|the biggest pumpkin|that strange machine|a cup of ginger tea|
the old photograph|five thousand shells|the church bell|a sharp knife|the missing key|
an empty bottle|the soft pillow|a measure of flour|the purple thread|their youngest dog""".replace(
    "\n", ""
).split("|")
_PLACES = """by the river|under the bridge|in the garden|at the market|near the lighthouse|
behind the school|on the third floor|across the valley|in front of the theatre|
beside the frozen lake|at the edge of town|inside the museum|on a narrow road|at home|
among the pine trees""".replace("\n", "").split("|")
_TIMES = """before breakfast|last Thursday|in early spring|while it rained|every other week|
at half past four|long ago|after the storm|just in time|during the summer|without a word|
for the first time|as usual|too late|on his birthday""".replace("\n", "").split("|")


def sentences(count: int, seed: int) -> list[str]:
    """Return that many sentences."""
    rng = np.random.default_rng(seed)

    def one(words: list[str]) -> str:
        return words[int(rng.integers(len(words)))]

    made = []
    for _ in range(count):
        first = f"{one(_PEOPLE)} {one(_ACTS)} {one(_THINGS)}"
        ends = [one(_PLACES), one(_TIMES)][: int(rng.integers(0, 3))]
        text = " ".join([first, *ends])
        made.append(text[0].upper() + text[1:] + ("?" if rng.random() < 0.1 else "."))
    return made
