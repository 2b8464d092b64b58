"""A page of one upload and one answer, behind the whole gate: what the safety tests knock at."""

import io
import os
import time
import uuid
from pathlib import Path

import httpx
import numpy as np
import soundfile

from demo_app import guard, serve
from demo_app.settings import Settings

RATE = 16_000


def build(settings: Settings):
    """Return a page that says how long a recording is, and gives it back."""
    import gradio as gr

    def measure(path):
        try:
            heard = guard.read(path, settings)
        except Exception as error:  # noqa: BLE001  (as the panels do)
            raise gr.Error(guard.friendly(error), print_exception=False) from None
        answer = Path(os.environ["GRADIO_TEMP_DIR"]) / f"{uuid.uuid4().hex}.wav"
        heard.save(answer)
        return f"{heard.seconds:.2f} s at {heard.sample_rate} Hz", str(answer)

    def wait(seconds):
        time.sleep(seconds)
        return "done"

    def fail():
        raise RuntimeError(f"secret of {Path.home()}/keys")

    with gr.Blocks(title="small") as blocks:
        sound = gr.Audio(type="filepath", format=None, label="Recording")
        text, back = gr.Textbox(label="Length"), gr.Audio(label="Back", type="filepath")
        seconds = gr.Number(value=1.0)
        gr.Button("Measure").click(measure, sound, [text, back], api_name="measure")
        gr.Button("Wait").click(wait, seconds, text, api_name="wait")
        gr.Button("Fail").click(fail, None, text, api_name="fail")
    return blocks


def start(**changes) -> serve.Running:
    """Start it on a free port."""
    return serve.launch(build, Settings(port=0, **changes))


def tone(seconds: float = 0.5, rate: int = RATE, channels: int = 1, **kind) -> bytes:
    """Return a sound file."""
    buffer = io.BytesIO()
    wave = 0.1 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)
    shaped = np.repeat(wave[:, None], channels, 1)
    soundfile.write(buffer, shaped, rate, **({"format": "WAV"} | kind))
    return buffer.getvalue()


class Visitor:
    """Someone at the other end of a connection."""

    def __init__(self, running: serve.Running, **headers) -> None:
        self.url = running.url.rstrip("/")
        self.api = f"{self.url}/gradio_api"
        self.http = httpx.Client(headers=headers, timeout=30, trust_env=False)

    def upload(self, data: bytes, name: str = "a.wav") -> httpx.Response:
        return self.http.post(f"{self.api}/upload", files={"files": (name, data)})

    def call(self, endpoint: str, *values) -> tuple[int, str]:
        """Return the status and everything that is answered, the events included."""
        asked = self.http.post(f"{self.api}/call/{endpoint}", json={"data": list(values)})
        if asked.status_code != 200:
            return asked.status_code, asked.text
        answer = self.http.get(f"{self.api}/call/{endpoint}/{asked.json()['event_id']}")
        return answer.status_code, answer.text

    def measure(self, data: bytes, name: str = "a.wav") -> tuple[int, str]:
        """Upload a recording and ask how long it is."""
        stored = self.upload(data, name)
        if stored.status_code != 200:
            return stored.status_code, stored.text
        return self.call("measure", file_at(stored.json()[0]))


def file_at(path: str, **more) -> dict:
    """Return a file as gradio's clients name it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}
