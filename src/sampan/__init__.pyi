"""Types of the lazy names in `__init__.py`; kept apart so that importing `sampan` from inside depends on nothing."""

from sampan import errors as errors
from sampan import features as features
from sampan.engine.step import step as step
from sampan.evaluation.objective import objective as objective
from sampan.evaluation.objective import value as value
from sampan.features.expressions import col as col
from sampan.features.view import Label as Label
from sampan.features.view import feature as feature
from sampan.features.view import features as _features
from sampan.features.view import view as view
from sampan.governance.terms import terms as terms
from sampan.remote import connect as connect
from sampan.tuning import checkpoint as checkpoint
from sampan.tuning.spaces import choice as choice
from sampan.tuning.spaces import floats as floats
from sampan.tuning.spaces import ints as ints
from sampan.tuning.spaces import logs as logs
from sampan.workspace.data.datasets import data as data
from sampan.workspace.models.predictors import load_package as load_package
from sampan.workspace.runs.live_runs import log as log
from sampan.workspace.runs.live_runs import run as run
from sampan.workspace.sources import dataset as dataset
from sampan.workspace.training.training import train as train
from sampan.workspace.workspace import Workspace as Workspace

__version__: str
_EXPORTS: dict[str, str]

feature_view = _features  # the module `features` has the shorter name
open = Workspace.open  # noqa: A001  # sp.open("folder") reads as the builtin does
