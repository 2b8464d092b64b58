"""The named endpoints, as a program uses them, against what the library gives."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiovq import audio
from audiovq.voice.convert import convert as in_voice
from audiovq.voice.reference import hear
from tests.demo_app.panels.conftest import SPEAKERS, needs_gradio
from tests.demo_app.small import Visitor, file_at

pytestmark = needs_gradio
NAMES = ("models", "resynthesise", "compare", "units", "occurrences", "edit", "voice", "generate")


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    from gradio_client import Client

    return Client(server.url, verbose=False, download_files=str(tmp_path_factory.mktemp("got")))


@pytest.fixture(scope="module")
def given(recording):
    from gradio_client import handle_file

    return handle_file(str(recording))


@pytest.fixture(scope="module")
def x(recording):
    return audio.load(recording)


def check_same(path, x_hat):
    samples, rate = soundfile.read(path)
    assert rate == 16000
    assert np.abs(samples - x_hat[0, 0].clamp(-1, 1).numpy()).max() <= 1.01 / 32768


def test_every_endpoint_and_argument_is_described(client):
    described = client.view_api(return_format="dict")
    endpoints = described["named_endpoints"]
    assert sorted(endpoints) == sorted(f"/{name}" for name in NAMES)
    assert not described["unnamed_endpoints"]
    for endpoint in endpoints.values():
        assert len(endpoint["description"].split()) > 5
        assert endpoint["returns"]
        for argument in endpoint["parameters"]:
            assert len(argument["label"]) > 5, argument
            assert not argument["parameter_name"].startswith("param_")


def test_the_lines_of_the_readme(server, recording, capsys):
    text = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    [lines] = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Client(" in b]
    for written, here in {
        "http://127.0.0.1:7860": server.url,
        "speech.wav": str(recording),
        "NAME": "layers",
    }.items():
        assert written in lines
        lines = lines.replace(written, here)
    names: dict = {}
    exec(compile(lines, "README.md", "exec"), names)
    assert soundfile.info(names["sound"]).duration == pytest.approx(2.0)
    assert names["figures"]["scores"]
    assert "layers" in capsys.readouterr().out


def test_models(client, models):
    found = {m["name"]: m for m in client.predict(api_name="/models")}
    assert set(found) == set(models)
    assert found["plain"]["priors"] == ["talker"]
    assert found["layers"]["codebook_sizes"] == [8, 8, 8]
    assert found["voices"]["speakers"] == list(SPEAKERS)


@torch.no_grad()
def test_resynthesise(client, given, models, x):
    path, figures = client.predict(given, "layers", 2, api_name="/resynthesise")
    codes = models["layers"].encode(x, exact=True)[:, :2]
    check_same(path, models["layers"].decode(codes, x.shape[-1]))
    assert figures["codes"] == codes[0].tolist()
    assert figures["rates"]["nominal"] == pytest.approx(300, rel=0.02)
    assert figures["real_time_factor"] > 0


def test_compare(client, given):
    table, files = client.predict(given, ["plain", "smooth"], api_name="/compare")
    assert [row[0] for row in table["rows"]] == ["plain", "smooth"]
    assert len(files) == 2
    assert table["failed"] == {}


def test_units_and_their_occurrences(client, given, models, x):
    units, files = client.predict(given, "plain", api_name="/units")
    codes = models["plain"].encode(x, exact=True)[0, 0]
    values, counts = torch.unique_consecutive(codes, return_counts=True)
    assert [u["codes"] for u in units] == [[int(v)] for v in values]
    assert [u["frames"] for u in units] == counts.tolist()
    assert [f.rsplit(".")[-1] for f in files] == ["jsonl", "km", "csv"]
    rows = list(csv.DictReader(Path(files[2]).read_text().splitlines()))
    assert len(rows) == len(units)
    unit = int(values[0])
    places = client.predict(given, "plain", unit, api_name="/occurrences")
    assert [p["start"] for p in places] == [u["start"] for u in units if u["codes"] == [unit]]


@torch.no_grad()
def test_edit(client, given, models, x):
    path = client.predict(given, "plain", "erase", 0.0, 1.0, api_name="/edit")
    codes = models["plain"].encode(x, exact=True)[..., 50:]
    check_same(path, models["plain"].decode(codes))


@torch.no_grad()
def test_voice(client, given, models, x):
    from gradio_client.exceptions import AppError

    model = models["voices"]
    path = client.predict(given, "voices", "cem", api_name="/voice")
    check_same(path, in_voice(model, x, model.speaker_index(["cem"])))
    path = client.predict(given, reference=given, api_name="/voice")  # the model that has voices
    check_same(path, in_voice(model, x, hear(model, x, model.sample_rate)))
    with pytest.raises(AppError, match="give one of them"):
        client.predict(given, "voices", "cem", given, api_name="/voice")


def test_generate(client):
    same = {"model": "plain", "pieces": 2, "seconds": 0.5, "seed": 3, "api_name": "/generate"}
    first, again = client.predict(**same), client.predict(**same)
    assert len(first) == 2
    sounds = [soundfile.read(path)[0] for path in (*first, *again)]
    assert all(len(sound) == 8000 for sound in sounds)
    assert np.array_equal(sounds[0], sounds[2])
    assert np.array_equal(sounds[1], sounds[3])
    assert not np.array_equal(sounds[0], sounds[1])


@pytest.mark.parametrize(
    ("arguments", "endpoint", "words"),
    [
        (("elsewhere",), "/units", "elsewhere"),
        (("smooth",), "/units", "continuous"),
        (("plain", "ann"), "/voice", "speaker"),
        (("plain", "erase", 5.0, 6.0), "/edit", "s"),
        (("layers", 7), "/resynthesise", "codebooks"),
    ],
)
def test_mistakes_are_told_in_one_line(client, given, arguments, endpoint, words):
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        client.predict(given, *arguments, api_name=endpoint)
    line = str(caught.value)
    assert words in line
    assert "\n" not in line
    assert "went wrong" not in line
    assert "Traceback" not in line


WRONG = {  # endpoint, arguments after the recording (None: of no recording), words of the answer
    "no such model": ("units", ["elsewhere"], "no model 'elsewhere' here"),
    "a model that is no name": ("units", [{"a": 1}], "chosen by its name"),
    "too few": ("units", [], "1 arguments are given; units takes 2"),
    "empty": ("resynthesise", ["layers", None], "Codebooks must be a whole number"),
    "text": ("resynthesise", ["layers", "two"], "Codebooks must be a whole number"),
    "a fraction": ("resynthesise", ["layers", 1.5], "not 1.5"),
    "huge": ("resynthesise", ["layers", 1e300], "not 1e+300"),
    "NaN": ("resynthesise", ["layers", float("nan")], "not nan"),
    "no names": ("compare", [None], "models must be a list of names"),
    "no such unit": ("occurrences", ["plain", 8], "codes from 0 to 7"),
    "no such edit": ("edit", ["plain", "x", 0, 0.5, 0, 0, 2, 5], "no edit 'x'"),
    "no such voice": ("voice", ["voices", "zed", None], "it has 3: ann, bob, cem"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_told_and_leave_nothing_in_the_log(
    case, server, recording, capfd, caplog
):
    endpoint, arguments, words = WRONG[case]
    visitor = Visitor(server)
    stored = file_at(visitor.upload(recording.read_bytes()).json()[0])
    body = json.dumps({"data": [stored, *arguments]})
    asked = visitor.http.post(
        f"{visitor.api}/call/{endpoint}", content=body, headers={"content-type": "application/json"}
    )
    told = visitor.http.get(f"{visitor.api}/call/{endpoint}/{asked.json()['event_id']}").text
    assert "event: error" in told
    assert words in json.loads(told.split("data: ")[1])["error"]
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


@pytest.mark.parametrize("path", ["call/nowhere", "call/v2/nowhere", "call/v2/units"])
def test_a_call_of_nothing_is_refused(path, server, capfd):
    visitor = Visitor(server)
    answer = visitor.http.post(f"{visitor.api}/{path}", json={"data": [], "nothing": 1})
    assert answer.status_code == 400
    assert "no such endpoint" in answer.json()["error"]
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_prior_that_is_not_there(client):
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="no prior"):
        client.predict("layers", api_name="/generate")
