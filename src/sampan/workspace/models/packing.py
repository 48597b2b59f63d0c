"""The model room's verbs that pack a model, build its package for a target, and verify what was packed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec

from sampan import plugins
from sampan.core.budgets import read_budget
from sampan.core.digests import digest_value
from sampan.core.events import Input, new_id
from sampan.core.graph import Node
from sampan.errors import BudgetExceeded, NotFound, ParameterError
from sampan.ports import Built, Target, TargetOptions
from sampan.workspace.governing import governance
from sampan.workspace.models import sign_offs
from sampan.workspace.models.answers import KeyShown, Packed, TargetBuild, Verified
from sampan.workspace.models.events import TargetBuilt
from sampan.workspace.models.package_files import package_folder, package_node
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

TARGETS, MANIFEST = "sampan.targets", "package.json"


class Packing(Room):
    """The verbs that make a model ready to answer elsewhere."""

    noun: ClassVar[str] = "model"

    @operation(local=True)
    def pack(
        self,
        model: str,
        *,
        out: Path | None = None,
        target: str = "",
        budget: str = "",
        base: Path | None = None,
        setting: dict[str, str] | None = None,
    ) -> Packed:
        """Pack a model with all it needs to answer. The same model gives the same package.

        With a target, the package is also built for it: an image, a board, a browser. What the build measured is kept in lineage.

        Parameters
        ----------
        model : such as flights-late@champion
        out : a folder that does not exist yet, for the package's files or for what the target makes of them
        target : what to build the package for
        budget : what the build may take, such as flash=64k,ram=8k,ms=5
        base : what the target builds on: the base of an image, as a folder or tar file
        setting : a setting of the target, such as replicas=3
        """
        node = self.ws.catalog.resolve(model, kind="model")
        if not target and (budget or base or setting):
            raise ParameterError("budget, base and settings need a target", parameter="target", hint=f"--target {_targets()}")
        maker: Target | None = _find_target(target) if target else None
        folder = Path(f"{node.name}-v{node.version}-{target}") if target and out is None else out
        if folder is not None and folder.exists():
            raise ParameterError(f"{folder} exists", parameter="out", hint="name a folder that does not exist yet: --out FOLDER")
        purpose = str(node.facts.get("purpose", ""))
        governance.require_allowed(self.ws, [node], purpose=purpose, act="package")
        if out is not None or target:  # a package that leaves the store carries what it learned from with it
            governance.require_allowed(self.ws, [node], purpose=purpose, act="export")
        packed = self._packed(node)
        if maker is not None and folder is not None:
            cache = self.ws.store_folder / "hints" / "targets"
            options = TargetOptions(budget=read_budget(budget), base=base, settings=setting or {}, cache=cache)
            return self._built(packed, maker, folder, options)
        if out is not None:
            from sampan.workspace.models.packages import copy_folder

            copy_folder(self.package_path(packed.package), out)
            following = (f"sampan model verify {quote(str(out))}", f"sampan serve --package {quote(str(out))}")
            return msgspec.structs.replace(packed, folder=str(out), next=following)
        return packed

    @operation(local=True)
    def verify(self, model: str, *, key: Path | None = None) -> Verified:
        """Check a package: who signed it, every file's digest, and that it answers its probe set as batch did.

        Parameters
        ----------
        model : a model or package, such as flights-late@champion; or a package's folder
        key : the public key that its signature must be of, as PEM; by default those this store knows
        """
        from sampan.workspace.models.package_checks import check_package

        folder = Path(model)
        if (folder / MANIFEST).is_file():
            return _advised(check_package(folder, str(folder), self._trusted(key)), f"sampan serve --package {quote(model)}")
        package = package_node(self.ws, model)
        found = check_package(self.package_path(package.id), f"package:{package.ref}", self._trusted(key))
        return _advised(found, f"sampan service deploy {quote(package.ref)}")

    @operation(local=True)
    def signing_key(self, *, out: Path | None = None) -> KeyShown:
        """Show the public key that this machine's packages are signed with, for those who verify them elsewhere.

        Parameters
        ----------
        out : the file to write, such as sampan.pub
        """
        from sampan.packaging.signing import key_id, public_key, to_pem
        from sampan.workspace.models.signing_keys import SigningKeys

        found = public_key(SigningKeys(self.ws).seed())
        if out is not None:
            out.write_text(to_pem(found), encoding="ascii")
        return KeyShown(
            key_id=key_id(found), pem=to_pem(found), file=str(out or ""), next=(f"sampan model verify FOLDER --key {out or 'FILE'}",)
        )

    def _trusted(self, key: Path | None) -> dict[str, Any]:
        from sampan.packaging.signing import from_pem, key_id
        from sampan.workspace.models.signing_keys import SigningKeys

        if key is None:
            return dict(SigningKeys(self.ws).trusted())
        try:
            found = from_pem(key.read_bytes(), str(key))
        except OSError as cause:
            raise NotFound(
                f"{key} cannot be read: {cause.strerror}", hint="sampan model signing-key --out FILE, where it was packed"
            ) from cause
        return {key_id(found): found}

    def package_path(self, ref: str) -> Path:
        """Return a folder with a package's files, for a package or the newest package of a model."""
        return package_folder(self.ws, ref)

    def _packed(self, node: Node) -> Packed:
        from sampan.workspace.models.package_checks import signed
        from sampan.workspace.models.packages import build_package

        event = build_package(self.ws, node)
        existing = self.ws.catalog.find_version("package", node.name, event.digest)
        if existing is None:
            decision = sign_offs.newest_decision(self.ws, node)
            if decision is not None and decision.facts["passed"]:
                event = msgspec.structs.replace(event, inputs=(*event.inputs, Input(decision.id, "gated_by")))
            self.ws.ledger.append(signed(self.ws, event))
        packed = existing or self.ws.catalog.node(event.node)
        return Packed(
            package=f"package:{packed.ref}",
            model=node.ref,
            digest=packed.digest,
            size_bytes=packed.size,
            served_by=packed.facts["served_by"],
            files=packed.facts["files"],
            made=existing is None,
            next=(f"sampan service deploy {node.ref}",),
        )

    def _built(self, packed: Packed, target: Target, out: Path, options: TargetOptions) -> Packed:
        """Build a package for a target; what it measured is recorded, also where the budget was exceeded."""
        from sampan.workspace.models.smaller_forms import ModelForms

        package = self.ws.catalog.resolve(packed.package, kind="package")
        build = _Build(self.ws, package, target.name, options)
        with ModelForms(self.ws, self.ws.catalog.resolve(packed.model, kind="model")) as forms:
            handed = msgspec.structs.replace(options, forms=forms)
            try:
                made = _into(out, lambda folder: target.build(self.package_path(package.id), folder, handed, self.ws.progress))
            except BudgetExceeded as refused:
                build.record(facts=dict(refused.measured), state="refused", reasons=refused.reasons or (refused.message,))
                raise
            if forms.made is not None:  # a smaller form was built, which is a version with a package of its own
                packed = self._packed(forms.made)
                build = build._replace(package=self.ws.catalog.resolve(packed.package, kind="package"))
        files = {file.path: file.size_bytes for file in made.files}
        digest = digest_value(sorted((file.path, file.digest) for file in made.files))
        node = build.record(facts=made.facts, files=files, digest=digest, warnings=made.warnings)
        done = TargetBuild(ref=f"build:{node.ref}", target=target.name, files=files, facts=made.facts, warnings=made.warnings)
        following = tuple(command.replace("{out}", str(out)) for command in made.next) or (f"sampan lineage build:{node.ref}",)
        return msgspec.structs.replace(packed, folder=str(out), build=done, next=following)


class _Build(NamedTuple):
    """A package on its way to a target."""

    ws: Workspace
    package: Node
    target: str
    options: TargetOptions

    def record(self, *, facts: dict[str, Any], state: str = "active", digest: str = "", **more: Any) -> Node:
        """Record what came of it as a node derived from the package; building the same again records nothing new."""
        asked = {"budget": self.options.budget, "settings": self.options.settings, "base": str(self.options.base or "")}
        told = {"target": self.target, **asked, **facts, **{name: value for name, value in more.items() if value}}
        name = f"{self.package.name}-{self.target}"
        found = digest_value({"package": self.package.digest, "state": state, "files": digest, **told})
        same = self.ws.catalog.find_version("build", name, found)
        if same is not None:
            return same
        event = TargetBuilt(
            node=new_id(),
            kind="build",
            name=name,
            digest=found,
            state=state,
            size=sum(more.get("files", {}).values()),
            facts={"package": self.package.ref, "content": digest, **told},
            inputs=(Input(self.package.id, "built_as"),),
        )
        self.ws.ledger.append(event)
        return self.ws.catalog.node(event.node)


def _into(out: Path, make: Any) -> Built:
    """Let a target fill a new folder; a build that fails leaves nothing behind."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        made: Built = make(temporary)
        temporary.chmod(0o755)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made


def _targets() -> str:
    return "|".join(plugins.names(TARGETS)) or "NAME"


def _find_target(name: str) -> Target:
    """Make a target by its name. Raises NotFound, naming those there are."""
    try:
        found: Target = plugins.find(TARGETS, name)(name)
    except NotFound as cause:
        raise NotFound(cause.message, did_you_mean=cause.did_you_mean, hint=cause.hint or f"there are {_targets()}") from cause
    return found


def _advised(found: Verified, following: str) -> Verified:
    return msgspec.structs.replace(found, next=(following,)) if found.passed else found
