"""How codes, reconstruction and units hold when sound or codes are damaged on their way.

    inputs.py      what may happen to the sound: noise, babble, clipping, reverb, codecs
    channel.py     what may happen to codes: lost packets, flipped bits, damaged files
    conceal.py     what a receiver puts where codes are lost
    conditions.py  all of it by name
    measure.py     one recording under every condition
    run.py         a split of a corpus; goes on where it stopped
    table.py       means, intervals and differences, as Markdown and JSON
    plot.py        one picture of it

`audiovq stress` and `recipes/stress.py` are made of them.
"""
