import pytest

from demo_app.guard import quota, routes
from demo_app.guard.request import RefusedError, Request, request_of
from demo_app.settings import Settings


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return quota.Cache(tmp_path_factory.mktemp("cache").resolve(), Settings())


def route(method, path, cache, **headers):
    try:
        routes.check_route(Request(method, path, "a", headers), cache)
    except RefusedError as error:
        return error.status
    return 200


def host(settings, method="GET", **headers):
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    try:
        routes.check_host(Request(method, "/", "a", named), settings)
    except RefusedError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("HEAD", "/"), ("GET", "/config"), ("GET", "/assets/index-1.js"),
        ("GET", "/gradio_api/heartbeat/abc"), ("GET", "/gradio_api/info"),
        ("POST", "/gradio_api/queue/join"), ("POST", "/gradio_api/call/resynthesise"),
        ("GET", "/gradio_api/call/resynthesise/0123"), ("POST", "/gradio_api/upload"),
    ],
)  # fmt: skip
def test_what_the_page_needs_is_there(method, path, cache):
    assert route(method, path, cache) == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/monitoring", 404), ("GET", "/login", 404), ("POST", "/login", 404),
        ("POST", "/gradio_api/component_server", 404), ("GET", "/gradio_api/runs", 404),
        ("GET", "/gradio_api/deep_link", 404), ("POST", "/gradio_api/process_recording", 404),
        ("POST", "/gradio_api/stream/1", 404), ("GET", "/gradio_api/file/etc/passwd", 404),
        ("GET", "/gradio_api/proxy=x", 404), ("GET", "/gradio_api/proxy=http://x", 400),
        ("GET", "/gradio_api/custom_component/a/b/c/d", 404), ("GET", "/docs", 404),
        ("GET", "/gradio_api/startup-events", 404), ("POST", "/", 404), ("PUT", "/", 405),
        ("OPTIONS", "/", 405), ("GET", "/assets/../x", 400), ("GET", "/assets//x", 400),
        ("GET", "/assets/..\\x", 400), ("GET", "/a\0", 400), ("GET", "/" + "x" * 3000, 400),
        ("POST", "/gradio_api/file=/etc/passwd", 405),
    ],
)  # fmt: skip
def test_all_else_is_not(method, path, status, cache):
    assert route(method, path, cache) == status


def test_files_are_the_visitors_own_and_of_a_harmless_kind(cache):
    def file(name, **headers):
        return route("GET", f"/gradio_api/file={name}", cache, **headers)

    assert file(cache.root / "a" / "x.wav") == 200
    assert file(cache.root / "a" / "x.WAV", range="bytes=0-99") == 200
    assert file(cache.root / "a" / "x.wav", range="bytes=0-1,3-4") == 416
    for name in ("x.html", "x.svg", "x.js", "x", "x.wav.html"):
        assert file(cache.root / name) == 403
    for name in ("/etc/passwd", "x.wav", "http://x/y.wav", f"{cache.root}/../y.wav"):
        assert file(name) == 403


@pytest.mark.parametrize("given", ["localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_this_machines_own_names_are_known(given):
    assert host(Settings(), host=given) == 200


@pytest.mark.parametrize("given", ["evil.example", "127.0.0.1.evil.example", "", "[", "0.0.0.0"])
def test_a_name_made_to_point_here_is_not(given):
    assert host(Settings(), host=given) == 403


def test_names_can_be_added_and_an_open_server_knows_all():
    assert host(Settings(names=("Demo.lab",)), host="demo.lab") == 200
    assert host(Settings(host="0.0.0.0"), host="anything") == 200
    assert host(Settings(host="0.0.0.0", names=("demo.lab",)), host="anything") == 403


def test_pages_of_other_sites_get_no_answer():
    here = {"host": "localhost:7860"}
    assert host(Settings(), **here, origin="http://localhost:7860") == 200
    for origin in ("http://evil.example", "null", "http://localhost:9", "https://", ""):
        assert host(Settings(), **here, origin=origin) == 403
    assert host(Settings(), "POST", **here, sec_fetch_site="cross-site") == 403
    assert host(Settings(), "POST", **here, sec_fetch_site="same-origin") == 200
    proxied = {**here, "x_forwarded_host": "demo.lab", "origin": "https://demo.lab"}
    assert host(Settings(), **proxied) == 403
    assert host(Settings(behind_proxy=True), **proxied) == 200


def test_the_client_is_the_proxys_word_only_behind_one():
    scope = {
        "method": "GET", "path": "/", "client": ("10.0.0.1", 5),
        "headers": [(b"X-Forwarded-For", b"1.1.1.1, 2.2.2.2")],
    }  # fmt: skip
    assert request_of(scope, behind_proxy=False).address == "10.0.0.1"
    assert request_of(scope, behind_proxy=True).address == "2.2.2.2"
