"""A program of its own: speaks sentences with espeak-ng, and tells when which phone was spoken.

Run as `python -I _espeak.py`, one JSON job on stdin. It imports nothing of audiovq and audiovq
imports nothing of it: espeak-ng is a GPL-3 library and stays in its own process. One process speaks
one voice's sentences in a fixed order, because the synthesiser carries state from one to the next.
"""

import ctypes
import json
import sys
import wave
from pathlib import Path

SYNCHRONOUS, PHONEME_EVENTS, PHONEME_IPA, DONT_EXIT = 2, 0x1, 0x2, 0x8000
RATE, PITCH, PHONEME = 1, 3, 7  # parameters 1 and 3, event type 7 of speak_lib.h
UTF8, POSITION_CHARACTER = 1, 1


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def main() -> None:
    """Speak every sentence of the job to a wav file; print the phones of each as a JSON line."""
    job = json.load(sys.stdin)
    library = ctypes.CDLL(job["library"])
    rate = library.espeak_Initialize(
        SYNCHRONOUS, 0, job["data"].encode(), PHONEME_EVENTS | PHONEME_IPA | DONT_EXIT
    )
    samples = bytearray()
    events: list[tuple[int, str]] = []

    def receive(wav: object, count: int, event: object) -> int:
        if wav and count > 0:
            samples.extend(ctypes.string_at(wav, 2 * count))  # type: ignore[arg-type]
        i = 0
        while event[i].type != 0:  # type: ignore[index]
            if event[i].type == PHONEME:  # type: ignore[index]
                name = event[i].id.string.decode("utf-8", "replace")  # type: ignore[index]
                events.append((event[i].sample, name))  # type: ignore[index]
            i += 1
        return 0

    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(job["voice"].encode()) != 0:
        sys.exit(f"espeak-ng has no voice {job['voice']!r}")
    library.espeak_SetParameter(RATE, job["words_per_minute"], 0)
    library.espeak_SetParameter(PITCH, job["pitch"], 0)
    for text, path in job["sentences"]:
        samples.clear()
        events.clear()
        data = text.encode() + b"\0"
        library.espeak_Synth(data, len(data), 0, POSITION_CHARACTER, 0, UTF8, None, None)
        library.espeak_Synchronize()
        with wave.open(str(Path(path)), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(bytes(samples))
        print(json.dumps({"rate": rate, "samples": len(samples) // 2, "events": events}))  # noqa: T201


if __name__ == "__main__":
    main()
