"""The data room: datasets, their contracts, checks, profiles, and the columns that must stay out of a model.

Each part of it is a file of its own: coming in, versions, contracts, exploring, labels. What they share is in `data_room.py`.
"""

from __future__ import annotations

from sampan.workspace.data.admission_verbs import Admission
from sampan.workspace.data.batch_verbs import Batching
from sampan.workspace.data.catalog import Catalogued
from sampan.workspace.data.cells import Cells
from sampan.workspace.data.checking import Checking
from sampan.workspace.data.contract_editing import ContractEditing
from sampan.workspace.data.croissant import Croissants
from sampan.workspace.data.editing import Editing
from sampan.workspace.data.erasing import ErasingPeople
from sampan.workspace.data.exploring import Exploring
from sampan.workspace.data.governed import Governed
from sampan.workspace.data.intake import Intake
from sampan.workspace.data.labels import Labels
from sampan.workspace.data.media import Media
from sampan.workspace.data.publishing import Publishing
from sampan.workspace.data.quarantine_verbs import Held
from sampan.workspace.data.room import KIND, PROFILE
from sampan.workspace.data.versions import Versions

__all__ = ["KIND", "PROFILE", "Data"]


class Data(
    Intake,
    Batching,
    Held,
    Versions,
    Editing,
    Publishing,
    Checking,
    ContractEditing,
    Cells,
    Catalogued,
    Croissants,
    Exploring,
    ErasingPeople,
    Labels,
    Media,
    Admission,
    Governed,
):
    """Datasets: versions, contracts, checks, profiles.

    Parameters
    ----------
    ref : the dataset, like flights or flights@v3
    """
