"""Downloads, against a server of our own that can break off."""

import hashlib
import io
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from audiovq import registry
from audiovq.data import download as downloads
from audiovq.data.corpora.librispeech import LibriSpeech
from audiovq.data.download import Archive, download
from audiovq.data.prepare import make_corpus, prepare
from audiovq.data.unpack import unpack
from audiovq.errors import ConfigError, ManifestError


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; after `server.budget` bytes in all it hangs up in the middle."""

    def do_GET(self):
        data = self.server.files.get(self.path)
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if data is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and self.server.ranges and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if asked and self.server.ranges:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            start = 0
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        sent = data[start : start + self.server.budget]
        self.server.budget -= len(sent)
        self.wfile.write(sent)
        self.server.sent += len(sent)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "_PAUSE", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.sent = {}, [], 0
    server.budget, server.ranges = 1 << 40, True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def serve(server, name, data) -> Archive:
    server.files[f"/{name}"] = data
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    return Archive(url, f"sha256:{hashlib.sha256(data).hexdigest()}")


def tar(files: dict[str, bytes], mode="w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


NOISE = hashlib.shake_128(b"noise").digest(3_000_000)  # cannot be packed


@pytest.fixture
def archive(server):
    return serve(server, "a.tar.gz", tar({"a/noise": NOISE, "a/text": b"hello"}))


def get(archive, root):
    download({"a": archive}, ["a"], root, progress=False)


def there(root) -> dict[str, bytes]:
    files = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    return {k: v for k, v in files.items() if not k.startswith(".archives/")}


def test_an_archive_is_fetched_unpacked_and_removed_once(archive, server, tmp_path):
    get(archive, tmp_path / "new" / "root")
    root = tmp_path / "new" / "root"
    assert there(root) == {"a/noise": NOISE, "a/text": b"hello"}
    assert [p.name for p in (root / ".archives").iterdir()] == ["a.tar.gz.unpacked"]
    get(archive, root)
    assert len(server.asked) == 1


def test_a_transfer_that_breaks_off_goes_on_by_itself(archive, server, tmp_path, monkeypatch):
    size = len(server.files["/a.tar.gz"])

    def refill(_):  # while it waits, the network comes back
        server.budget = 1_000_000

    server.budget = 1_000_000
    monkeypatch.setattr(downloads.time, "sleep", refill)
    get(archive, tmp_path)
    assert there(tmp_path)["a/noise"] == NOISE
    assert len(server.asked) == 4
    assert size <= server.sent < size + 4 * downloads._CHUNK  # next to nothing twice


def test_the_next_run_goes_on_where_this_one_gave_up(archive, server, tmp_path):
    server.budget = 2_000_000
    with pytest.raises(ManifestError) as caught:
        get(archive, tmp_path)
    assert "the same command goes on where it stopped" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert (tmp_path / ".archives" / "a.tar.gz.part").stat().st_size > 1_900_000
    server.budget = 1 << 40
    get(archive, tmp_path)
    assert server.sent < len(server.files["/a.tar.gz"]) + downloads._CHUNK
    assert there(tmp_path)["a/noise"] == NOISE


def test_a_server_without_ranges_starts_anew(archive, server, tmp_path):
    server.ranges, server.budget = False, 2_000_000
    with pytest.raises(ManifestError):
        get(archive, tmp_path)
    server.budget = 1 << 40
    get(archive, tmp_path)
    assert there(tmp_path)["a/noise"] == NOISE


def test_all_of_it_had_arrived(archive, server, tmp_path):
    part = tmp_path / ".archives" / "a.tar.gz.part"
    part.parent.mkdir()
    part.write_bytes(server.files["/a.tar.gz"])
    get(archive, tmp_path)
    assert server.sent == 0
    assert there(tmp_path)["a/noise"] == NOISE


def test_a_part_longer_than_the_file_is_fetched_anew(archive, server, tmp_path):
    part = tmp_path / ".archives" / "a.tar.gz.part"
    part.parent.mkdir()
    part.write_bytes(server.files["/a.tar.gz"] + b"more")
    get(archive, tmp_path)
    assert there(tmp_path)["a/noise"] == NOISE


def test_a_wrong_sum_is_refused_and_the_next_run_starts_anew(archive, server, tmp_path):
    good = server.files["/a.tar.gz"]
    server.files["/a.tar.gz"] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(ManifestError, match="does not have the known sum sha256:"):
        get(archive, tmp_path)
    assert there(tmp_path) == {}
    assert list((tmp_path / ".archives").iterdir()) == []
    server.files["/a.tar.gz"] = good
    get(archive, tmp_path)
    assert there(tmp_path)["a/noise"] == NOISE


def test_a_file_fetched_by_other_means_is_used(archive, server, tmp_path):
    (tmp_path / ".archives").mkdir()
    (tmp_path / ".archives" / "a.tar.gz").write_bytes(server.files["/a.tar.gz"])
    get(archive, tmp_path)
    assert server.asked == []
    assert there(tmp_path)["a/noise"] == NOISE


def test_a_missing_file_and_a_dead_server_are_one_line(archive, server, tmp_path):
    server.files.clear()
    with pytest.raises(ManifestError, match="404") as caught:
        get(archive, tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    dead = Archive("http://127.0.0.1:9/a.tar.gz", "sha256:0")
    with pytest.raises(ManifestError, match="cannot download http://127.0.0.1:9/") as caught:
        get(dead, tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_names_and_the_extra(archive, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="'b' is not offered; there is: a"):
        download({"a": archive}, ["b"], tmp_path)
    with pytest.raises(ConfigError, match="there is: nothing; get the corpus from"):
        prepare("timit", tmp_path, tmp_path / "m.jsonl", fetch=["x"], progress=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ConfigError, match=r'pip install "audiovq\[download\]"'):
        get(archive, tmp_path)


def test_prepare_downloads_a_corpus(server, tmp_path, monkeypatch):
    make_corpus("librispeech").fake(tmp_path / "fake" / "LibriSpeech")
    fake = {
        p.relative_to(tmp_path / "fake").as_posix(): p.read_bytes()
        for p in sorted((tmp_path / "fake").rglob("*"))
        if p.is_file()
    }
    monkeypatch.setattr(LibriSpeech, "archives", {"dev": serve(server, "d.tar.gz", tar(fake))})
    root = tmp_path / "corpus"
    out = tmp_path / "m.jsonl"
    report = prepare("librispeech", root, out, fetch=["dev"], progress=False)
    assert report.statuses["ok"] == 16
    assert prepare("librispeech", root, out, fetch=["dev"], progress=False) == report
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", registry.names("corpora"))
def test_sums_are_well_formed(name):
    for archive in registry.get("corpora", name).cls.archives.values():
        kind, _, digest = archive.checksum.partition(":")
        assert len(digest) == {"sha256": 64, "md5": 32}[kind]
        assert set(digest) <= set("0123456789abcdef")
        assert archive.url.startswith("https://")


# ------------------------------------------------------------------- unpacking


def put(tmp_path, name, data) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    (tmp_path / "out").mkdir(exist_ok=True)
    return path


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
def test_tars_and_zips_are_unpacked(mode, tmp_path):
    unpack(put(tmp_path, "a.tar", tar({"x/y": b"1"}, mode)), tmp_path / "out", progress=False)
    unpack(put(tmp_path, "a.zip", zipped({"x/z": b"2"})), tmp_path / "out", progress=False)
    assert there(tmp_path / "out") == {"x/y": b"1", "x/z": b"2"}


@pytest.mark.parametrize("name", ["../evil", "x/../../evil", "..\\evil"])
def test_nothing_is_written_outside(name, tmp_path):
    if "\\" not in name:
        with pytest.raises(ManifestError, match="is not unpacked"):
            unpack(put(tmp_path, "a.tar", tar({name: b"1"})), tmp_path / "out", progress=False)
    with pytest.raises(ManifestError, match="reaches outside"):
        unpack(put(tmp_path, "a.zip", zipped({name: b"1"})), tmp_path / "out", progress=False)
    assert not list(tmp_path.rglob("*evil"))


def test_links_to_outside_are_refused(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "../secret"
        archive.addfile(member)
    with pytest.raises(ManifestError, match="is not unpacked"):
        unpack(put(tmp_path, "a.tar", buffer.getvalue()), tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "link").is_symlink()


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
@pytest.mark.parametrize("data", [b"", b"no archive", tar({"a": NOISE})[:100_000]])
def test_damaged_archives_are_one_line(name, data, tmp_path):
    with pytest.raises(ManifestError, match="cannot be unpacked") as caught:
        unpack(put(tmp_path, name, data), tmp_path / "out", progress=False)
    assert len(str(caught.value).splitlines()) == 1


def test_archives_inside_are_unpacked_where_they_lie(tmp_path):
    inner = tar({"train/S0002/a.wav": b"1"})
    outer = put(tmp_path, "o.tgz", tar({"data/wav/S0002.tar.gz": inner, "data/t.txt": b"2"}))
    unpack(outer, tmp_path / "out", nested=True, progress=False)
    assert there(tmp_path / "out") == {"data/wav/train/S0002/a.wav": b"1", "data/t.txt": b"2"}
