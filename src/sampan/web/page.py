"""What a page is, and the shell all pages share: navigation, language, errors.

A page is a path, a title, a template and a function that loads what the template shows through the workspace's operations. One URL is one
state; reading needs no JavaScript. Ours are in `pages/`; another package brings one by an entry point in the group `sampan.pages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sampan import plugins
from sampan.core.times import Millis, iso
from sampan.errors import SampanError
from sampan.web import charts
from sampan.web.words import LANGUAGES, translator

if TYPE_CHECKING:
    from starlette.requests import Request

    from sampan.workspace.workspace import Workspace

DAY_MS, LONGEST_MONTH_MS, MINUTE_S = 86_400_000, 31 * 86_400_000, 60

Load = Callable[["Workspace", Mapping[str, str]], Mapping[str, Any]]


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
    return [Route(page.path, _endpoint(workspace, page, navigation), methods=["GET"], name=page.path) for page in pages]


def _endpoint(workspace: Workspace, page: Page, navigation: list[Page]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        given = {**request.query_params, **{k: str(v) for k, v in request.path_params.items()}}
        language = choose_language(request)
        shell = {"navigation": navigation, "section": "/" + page.path.split("/")[1], "project": workspace.root.name}
        try:
            shown = await run_in_threadpool(page.load, workspace, given)
        except SampanError as error:
            return error_page(error, shell, language)
        context = {**shell, "title": page.title, **shown}
        response = HTMLResponse(render(page.template, context, language, package=page.templates))
        if request.query_params.get("lang") in LANGUAGES:
            response.set_cookie("lang", language, max_age=31_536_000, samesite="strict", httponly=True)
        return response

    return answer


def error_page(error: SampanError, shell: Mapping[str, Any], language: str) -> Response:
    """Show an error as a page: what is wrong, and what to do."""
    context = {**shell, "title": "Not shown", "error": error}
    return HTMLResponse(render("error.html", context, language), status_code=error.http_status)


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
