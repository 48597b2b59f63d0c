"""What a page is, and the shell all pages share: navigation, language, errors.

A page is a path, a title, a template and a function that loads what the template shows through the workspace's operations. One URL is one
state; reading needs no JavaScript. Ours are in `pages/`; another package brings one by an entry point in the group `sampan.pages`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sampan import plugins
from sampan.core.times import Millis, iso
from sampan.errors import AccessDenied, NotSignedIn, ParameterError, SampanError
from sampan.web import charts
from sampan.web.sign_in import TOKEN, form_address
from sampan.web.words.dictionary import LANGUAGES, translator

if TYPE_CHECKING:
    from starlette.requests import Request

    from sampan.workspace.workspace import Workspace

DAY_MS, LONGEST_MONTH_MS, MINUTE_S = 86_400_000, 31 * 86_400_000, 60

Load = Callable[["Workspace", Mapping[str, str]], Mapping[str, Any]]
Submit = Callable[["Workspace", Mapping[str, str]], str]
FORM_TOKEN = "form_token"  # noqa: S105  # the name of a form's field


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `title` is its link in the navigation where `in_navigation`; `template` lies in the package `templates`."""

    path: str  # "/models/{ref}"; parameters and the query string reach `load` together
    title: str
    template: str
    load: Load
    in_navigation: bool = False
    order: int = 100
    templates: str = "sampan.web"  # the package whose folder `templates` holds the template
    # What a form of the page posts goes here; it answers the address to go on to. An error shows on the page, with what was typed.
    submit: Submit | None = None
    several: tuple[str, ...] = ()  # what may be given more than once, as check boxes do; `load` gets the values with spaces between


def all_pages() -> list[Page]:
    """Return every page, ours and other packages', in navigation order."""
    found = [plugins.find("sampan.pages", name) for name in plugins.names("sampan.pages")]
    pages: list[Page] = []
    for one in found:
        pages.extend(one if isinstance(one, (list, tuple)) else [one])
    return sorted(pages, key=lambda page: (page.order, page.path))


def routes(workspace: Workspace) -> list[Route]:
    """Return one route per page."""
    pages = all_pages()
    navigation = [page for page in pages if page.in_navigation]
    token = secrets.token_urlsafe(32)  # a form must come from a page that this process showed
    found = []
    for page in pages:
        answer = _endpoint(workspace, page, navigation, token)
        found.append(Route(page.path, answer, methods=["GET", "POST"] if page.submit else ["GET"], name=page.path))
    return found


def _endpoint(workspace: Workspace, page: Page, navigation: list[Page], token: str) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        several = {name: " ".join(request.query_params.getlist(name)) for name in page.several}
        given = {**request.query_params, **several, **{k: str(v) for k, v in request.path_params.items()}}
        language = choose_language(request)
        shell: dict[str, Any] = {"navigation": navigation, "section": "/" + page.path.split("/")[1], "project": workspace.root.name}
        shell |= {"form_token": token, "refused": None, "typed": {}}
        status = 200
        try:
            if request.method == "POST" and page.submit is not None:
                typed = await _read_form(request, token)
                try:
                    return RedirectResponse(await run_in_threadpool(page.submit, workspace, {**typed, **given}), status_code=303)
                except SampanError as error:
                    shell, status = {**shell, "refused": error, "typed": typed}, error.http_status
            shown = await run_in_threadpool(page.load, workspace, given)
        except SampanError as error:
            return error_page(error, shell, language)
        context = {**shell, "title": page.title, **shown}
        response = HTMLResponse(render(page.template, context, language, package=page.templates), status_code=status)
        keep_language(response, request, language)
        return response

    return answer


async def _read_form(request: Request, token: str) -> dict[str, str]:
    """Read what a form of ours posted; any other is refused."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ParameterError(f"a form is posted as {kind or 'nothing'}", hint="use the form on the page")
    text = (await request.body()).decode("utf-8", errors="replace")
    typed = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
    if not hmac.compare_digest(typed.pop(FORM_TOKEN, "").encode(), token.encode()):
        raise AccessDenied("this form was not shown by this server, or it has restarted since", hint="load the page again")
    return typed


def error_page(error: SampanError, shell: Mapping[str, Any], language: str) -> Response:
    """Show an error as a page: what is wrong, and what to do."""
    context = {**shell, "title": "Not shown", "error": error}
    return HTMLResponse(render("error.html", context, language), status_code=error.http_status)


def sign_in_page(error: NotSignedIn, request: Request) -> Response:
    """Ask who comes for the token, in the words of the page they wanted; say what was wrong with the one they gave."""
    language = choose_language(request)
    tried = request.method == "POST" or TOKEN in request.query_params
    context = {
        "title": "Sign in",
        "refused": error if tried else None,
        "address": form_address(request.scope),
        "in_other": {one: form_address(request.scope, lang=one) for one in LANGUAGES},
    }
    response = HTMLResponse(render("sign_in.html", context, language), status_code=error.http_status)
    keep_language(response, request, language)
    return response


def keep_language(response: Response, request: Request, language: str) -> None:
    """Remember a language that was asked for by name."""
    if request.query_params.get("lang") in LANGUAGES:
        response.set_cookie("lang", language, max_age=31_536_000, samesite="strict", httponly=True)


def choose_language(request: Request) -> str:
    """Take the language from ?lang=, else the cookie, else what the browser prefers, else English."""
    wanted = request.query_params.get("lang") or request.cookies.get("lang") or ""
    if wanted in LANGUAGES:
        return wanted
    accepted = [part.split(";")[0].strip()[:2].lower() for part in request.headers.get("accept-language", "").split(",")]
    return next((language for language in accepted if language in LANGUAGES), "en")


def render(template: str, context: Mapping[str, Any], language: str, *, package: str = "sampan.web") -> str:
    """Render a template of a package; it may extend `shell/base.html` and import `shell/parts.html`."""
    environment = _environment(package)
    return environment.get_template(f"page/{template}").render(**context, lang=language, t=translator(language))


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=PrefixLoader({"page": PackageLoader(package, "templates"), "shell": PackageLoader("sampan.web", "templates")}),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(number=charts.number, charts=charts)
    environment.filters.update(number=charts.number, moment=_moment, share=_share, size=_size, seconds=_seconds, month=month)
    return environment


def month(window: Any) -> str:
    """Name the span of anything with `since` and `until` (milliseconds) in any language: 2013-05, 2013-05-01, or both ends."""
    begin, end = iso(window.since), iso(window.until)
    if begin[8:] == end[8:] == "01T00:00:00Z" and window.until - window.since <= LONGEST_MONTH_MS:
        return begin[:7]
    if begin[10:] == end[10:] == "T00:00:00Z":
        return begin[:10] if window.until - window.since == DAY_MS else f"{begin[:10]} – {iso(window.until - DAY_MS)[:10]}"
    return f"{begin[:16]} – {end[:16]}".replace("T", " ")


def _moment(when: Millis | str) -> Markup:
    """Write a moment, given in milliseconds or as ISO text, to the minute; programs find the whole of it."""
    text = when if isinstance(when, str) else iso(when)
    return Markup('<time datetime="{}">{}</time>').format(text, text[:16].replace("T", " ")) if text else Markup("–")


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < MINUTE_S:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), MINUTE_S)
    return f"{minutes} min {rest} s" if minutes < MINUTE_S else f"{minutes // MINUTE_S} h {minutes % MINUTE_S} min"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
