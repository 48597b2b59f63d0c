"""Who may talk to the server; against a real one where headers matter, and rule by rule where they do not."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest

from sampan.errors import AccessDenied
from sampan.web.security import HEADERS, Access, check_host, check_origin, is_loopback, new_token


@pytest.fixture(scope="module")
def open_server(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serve(tmp_path_factory.mktemp("open"), "ui") as served:
        yield served


@pytest.fixture(scope="module")
def closed_server(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serve(tmp_path_factory.mktemp("closed"), "server") as served:
        yield served


def test_every_answer_carries_the_headers(open_server: Any) -> None:
    for path in ("/api/v1/status", "/api/v1/openapi.json", "/api/v1/nothing", "/nothing", "/"):
        answer = httpx2.get(open_server.base + path)

        for name, value in HEADERS:
            assert answer.headers[name.decode()] == value.decode(), path


def test_a_rebound_host_name_is_refused(open_server: Any) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "169.254.1.1", ""):
        answer = httpx2.get(open_server.base + "/api/v1/status", headers={"host": host})

        assert answer.status_code == 403, host
        assert answer.json()["error"]["code"] == "access_denied"


def test_a_page_elsewhere_cannot_write(open_server: Any) -> None:
    for headers in (
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
    ):
        answer = httpx2.post(open_server.base + "/api/v1/gc", json={}, headers=headers)

        assert answer.status_code == 403, headers


def test_our_own_page_can_write(open_server: Any) -> None:
    headers = {"origin": open_server.base, "sec-fetch-site": "same-origin"}

    assert httpx2.post(open_server.base + "/api/v1/gc", json={}, headers=headers).status_code == 200


def test_a_form_of_another_site_is_no_json(open_server: Any) -> None:
    answer = httpx2.post(open_server.base + "/api/v1/gc", content=b"{}", headers={"content-type": "text/plain"})

    assert answer.status_code == 400
    assert "not declared as JSON" in answer.json()["error"]["message"]


def test_a_body_over_the_limit_is_refused_whether_announced_or_streamed(open_server: Any) -> None:
    big = b'{"dry_run": "' + b"x" * (1 << 20) + b'"}'
    headers = {"content-type": "application/json"}

    announced = httpx2.post(open_server.base + "/api/v1/gc", content=big, headers=headers)
    streamed = httpx2.post(open_server.base + "/api/v1/gc", content=iter([big]), headers=headers)

    assert [announced.status_code, streamed.status_code] == [413, 413]
    assert streamed.json()["error"]["code"] == "too_large"


def test_without_signing_in_nothing_is_answered(closed_server: Any) -> None:
    for path in ("/", "/api/v1/status", "/api/v1/openapi.json", "/static/../api/v1/status", "/staticky"):
        answer = httpx2.get(closed_server.base + path)

        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"


def test_what_the_sign_in_page_looks_like_is_open_to_all_and_only_to_be_read(closed_server: Any) -> None:
    for path in ("/static/sampan.css", "/static/mark.svg", "/static/live.js"):
        assert httpx2.get(closed_server.base + path).status_code == 200, path
    assert httpx2.post(closed_server.base + "/static/sampan.css").status_code == 401


def test_the_sign_in_page_says_nothing_of_the_project_and_speaks_two_languages(closed_server: Any) -> None:
    shown = httpx2.get(closed_server.base + "/models", headers={"accept-language": "vi,en"})

    assert "Đăng nhập" in shown.text
    assert closed_server.project.name not in shown.text
    assert "<nav" not in shown.text


def test_the_form_leads_on_to_what_was_asked_for(closed_server: Any) -> None:
    with httpx2.Client() as browser:
        asked = browser.get(closed_server.base + "/log?limit=3&lang=vi")
        address = html.unescape(asked.text.partition('action="')[2].partition('"')[0])
        wrong = browser.post(closed_server.base + address, data={"token": "wrong"})
        right = browser.post(closed_server.base + address, data={"token": f" {closed_server.token} "})

        assert asked.status_code == wrong.status_code == 401
        assert "Mã này không phải của máy chủ" in wrong.text
        assert "sampan_session" not in wrong.headers.get("set-cookie", "")
        assert (right.status_code, right.headers["location"]) == (303, "/log?limit=3&lang=vi")
        assert "HttpOnly" in right.headers["set-cookie"]
        assert browser.get(closed_server.base + right.headers["location"]).status_code == 200
        assert browser.get(closed_server.base + address).headers["location"] == "/log?limit=3&lang=vi"


@pytest.mark.parametrize(
    "place", ["//evil.example", "/\\evil.example", "https://evil.example", "\r\nset-cookie: a=b", "/sign-in?place=//evil.example"]
)
def test_the_form_never_leads_to_another_host(closed_server: Any, place: str) -> None:
    answer = httpx2.post(f"{closed_server.base}/sign-in", params={"place": place}, data={"token": closed_server.token})
    led = answer.headers["location"]

    assert answer.status_code == 303
    assert urlsplit(urljoin(closed_server.base, led)).netloc == urlsplit(closed_server.base).netloc
    assert "\\" not in led
    assert "a=b" not in answer.headers["set-cookie"]


def test_only_our_own_form_signs_in(closed_server: Any) -> None:
    url, data = closed_server.base + "/sign-in", {"token": closed_server.token}

    assert httpx2.post(url, data=data, headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx2.post(url, json=data).status_code == 401
    assert httpx2.post(url, data={"token": "x" * (2 << 20)}).status_code == 413


def test_the_printed_address_is_exchanged_for_a_cookie(closed_server: Any) -> None:
    with httpx2.Client() as browser:
        welcome = browser.get(closed_server.base + f"/api/v1/log?limit=3&token={closed_server.token}")
        cookie = welcome.headers["set-cookie"]

        assert welcome.status_code == 200
        assert welcome.headers["refresh"] == "0; url=/api/v1/log?limit=3"
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert closed_server.token not in cookie
        assert browser.get(closed_server.base + "/api/v1/log?limit=3").status_code == 200


def test_signing_in_never_leads_to_another_host(closed_server: Any) -> None:
    answer = httpx2.get(closed_server.base + f"//evil.example/?token={closed_server.token}")

    assert answer.headers["refresh"] == "0; url=/evil.example/"


def test_a_bearer_token_signs_programs_in(closed_server: Any) -> None:
    url = closed_server.base + "/api/v1/status"

    assert httpx2.get(url, headers={"authorization": f"Bearer {closed_server.token}"}).status_code == 200
    assert httpx2.get(url, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert httpx2.get(url, headers={"cookie": f"sampan_session_{closed_server.port}=wrong"}).status_code == 401
    assert httpx2.get(url + "?token=wrong").status_code == 401


def test_a_token_can_be_given(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path, "server", SAMPAN_TOKEN="chosen") as served:
        assert served.token == "chosen"


@pytest.mark.parametrize(
    ("host", "access", "welcome"),
    [
        ("127.0.0.1:4140", Access(), True),
        ("localhost", Access(), True),
        ("[::1]:80", Access(), True),
        ("192.168.1.5:4140", Access(), False),
        ("192.168.1.5:4140", Access(any_address=True), True),
        ("[fe80::1]:4140", Access(any_address=True), True),
        ("ml.example", Access(any_address=True), False),
        ("ML.example.:4140", Access(names=frozenset({"ml.example"})), True),
        ("", Access(any_address=True), False),
    ],
)
def test_a_server_answers_to_its_own_names(host: str, access: Access, welcome: bool) -> None:
    try:
        check_host(host, access)
    except AccessDenied:
        assert not welcome
    else:
        assert welcome


def test_reading_needs_no_origin_and_programs_send_none() -> None:
    check_origin({"method": "GET"}, {b"origin": "https://evil.example"})
    check_origin({"method": "POST", "scheme": "http"}, {b"host": "localhost"})


def test_tokens_are_long_and_differ() -> None:
    assert len(new_token()) >= 40
    assert new_token() != new_token()
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
