"""The page of the glossary, in Sampan's own shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampan.web.page import Page
from sampan.workspace.workspace import Workspace
from sampan_glossary.room import Glossary


def load(workspace: Workspace, given: Mapping[str, str]) -> dict[str, Any]:
    """Load through the room's operation, as every surface does."""
    return {"answer": workspace.room(Glossary).show(given.get("term", ""))}


GLOSSARY = Page(
    path="/glossary", title="Glossary", template="glossary.html", load=load, in_navigation=True, order=80, templates="sampan_glossary"
)
