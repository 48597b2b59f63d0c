"""Which part of a room declares which verbs, so that a command imports no other. Written by tools/reference.py."""

# noun -> the class of the part -> its verbs
PARTS = {
    "": {
        "sampan.workspace.overview:Overview": "status log",
        "sampan.workspace.lineage.tracing:Tracing": "lineage impact who",
        "sampan.workspace.runs.comparing:Comparing": "compare diff note",
        "sampan.workspace.explaining.explaining:Explaining": "why",
        "sampan.workspace.explaining.reproducing:Reproducing": "reproduce upgrade-check",
        "sampan.workspace.merging.merging:Merging": "merge",
        "sampan.workspace.upkeep:Upkeep": "gc fsck doctor",
    },
    "audit": {
        "sampan.workspace.audit:Audit": "verify log",
    },
    "data": {
        "sampan.workspace.data.intake:Intake": "add",
        "sampan.workspace.data.batch_verbs:Batching": "append",
        "sampan.workspace.data.quarantine_verbs:Held": "quarantine mend readmit discard",
        "sampan.workspace.data.versions:Versions": "list show head diff",
        "sampan.workspace.data.editing:Editing": "add-column delete compact cache drop-cache branch merge tag",
        "sampan.workspace.data.publishing:Publishing": "publish export",
        "sampan.workspace.data.checking:Checking": "infer check",
        "sampan.workspace.data.contract_editing:ContractEditing": "contract save-contract import-rules export-rules",
        "sampan.workspace.data.cells:Cells": "errors repair",
        "sampan.workspace.data.catalog:Catalogued": "search like card describe",
        "sampan.workspace.data.croissant:Croissants": "to-croissant from-croissant",
        "sampan.workspace.data.exploring:Exploring": "profile explore",
        "sampan.workspace.data.erasing:ErasingPeople": "subject erase erased erasures",
        "sampan.workspace.data.labels:Labels": "label leaks",
        "sampan.workspace.data.media:Media": "media",
        "sampan.workspace.data.admission_verbs:Admission": "value judge",
        "sampan.workspace.data.governed:Governed": "pii anonymity reidentify",
    },
    "export": {
        "sampan.workspace.mlflow.exporting:Exports": "mlflow",
    },
    "import": {
        "sampan.workspace.mlflow.importing:Imports": "mlflow",
    },
    "incident": {
        "sampan.workspace.services.incidents:Incidents": "list show close",
    },
    "model": {
        "sampan.workspace.models.models:Lifecycle": "train evaluate compare gate promote ship show",
        "sampan.workspace.models.listing:Listing": "list",
        "sampan.workspace.models.packing:Packing": "pack verify signing-key",
        "sampan.workspace.models.adopting:Adopting": "adopt trust",
        "sampan.workspace.models.tuning:Tuning": "tune study",
        "sampan.workspace.models.optimizing_verbs:Optimizing": "optimise",
        "sampan.workspace.models.signing:Signing": "sign-off withdraw stage history",
        "sampan.workspace.models.bill_of_materials:Bills": "bom",
    },
    "monitor": {
        "sampan.workspace.services.monitors:Monitors": "window show list requests handled",
    },
    "openlineage": {
        "sampan.workspace.lineage.openlineage:OpenLineage": "send receive",
    },
    "policy": {
        "sampan.workspace.governing.policy:Policy": "list show set check ask grant revoke decline leaves",
    },
    "run": {
        "sampan.workspace.runs.listing:Listing": "list columns",
        "sampan.workspace.runs.deleting:Deleting": "delete restore",
        "sampan.workspace.runs.runs:Runs": "script program show metrics",
    },
    "schedule": {
        "sampan.workspace.services.schedule:Schedule": "turn",
    },
    "service": {
        "sampan.workspace.services.rollouts:Rollouts": "rollout advance rollouts",
        "sampan.workspace.services.keys:ServiceKeys": "key-add key-list key-revoke",
        "sampan.workspace.services.prediction_log:PredictionLogs": "log save-log labels callers",
        "sampan.workspace.services.services:Services": "deploy shadow canary shift promote withdraw rollback stop list show",
    },
}
