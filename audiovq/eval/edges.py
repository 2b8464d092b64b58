"""What each measure gives at the edges of what can be scored; for help and for readers."""

EDGES = """
measure              silent original  short                     silent reconstruction
log_mel_distance     refused          defined                   defined: the level itself
stft_distance        refused          defined                   defined
si_sdr               refused          defined                   -50 dB
clipped              refused          defined                   0
stoi, estoi          refused          refused under 0.4 s       defined: near 0
pesq_wb, pesq_nb     refused          refused under 0.25 s      refused
f0_*                 refused          refused under 0.1 s       refused: nothing voiced in both
voicing_error        refused          refused under 0.1 s       defined: all voiced frames
speaker_similarity   refused          refused under 0.5 s       refused
wer*, cer*           refused          defined                   defined: the recogniser's answer

Refused: the utterance is left out of that mean only, and counted with the reason. Originals with
NaN or infinity are unreadable (--max-rejected decides); a reconstruction with either has no score.
""".strip()
