"""The data room: datasets, their contracts, checks, profiles, and the columns that must stay out of a model.

Each part of it is a file of its own: coming in, versions, contracts, exploring, labels. What they share is in `data_room.py`.
"""

from __future__ import annotations

from sampan.workspace.data_admission import Admission
from sampan.workspace.data_batches import Batching
from sampan.workspace.data_catalog import Catalogued
from sampan.workspace.data_cells import Cells
from sampan.workspace.data_checking import Checking
from sampan.workspace.data_contract_editing import ContractEditing
from sampan.workspace.data_croissant import Croissants
from sampan.workspace.data_editing import Editing
from sampan.workspace.data_erasing import ErasingPeople
from sampan.workspace.data_exploring import Exploring
from sampan.workspace.data_governed import Governed
from sampan.workspace.data_intake import Intake
from sampan.workspace.data_labels import Labels
from sampan.workspace.data_media import Media
from sampan.workspace.data_publishing import Publishing
from sampan.workspace.data_quarantine import Held
from sampan.workspace.data_room import KIND, PROFILE
from sampan.workspace.data_versions import Versions

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
