"""The reconcile of one StowContainer: from its spec and what is observed to a container that is there, ours, and stays so.

Level-based: it never asks which event woke it. Steps, in this order: deletion, spec, suspend, location, permission; then either the check
of what was provisioned, or name, rivals, the look at the backend, and one of create, adopt, refuse. It creates nothing that it did not see
absent and announce in status before; it writes and deletes nothing at a backend other than the one that is pinned in status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from stow.api.conditions import Wanted, is_true
from stow.api.reasons import ConditionType, Reason
from stow.api.status import ContainerStatus, Intent, container_status
from stow.errors import ContainerTakenError, ControlPlaneError, InvalidContainerNameError, InvalidSpecError, StowError
from stow.reconcile import eligibility, settings
from stow.reconcile.deleting import ContainerDeleter
from stow.reconcile.eligibility import Asked, Place
from stow.reconcile.objects import Snapshot
from stow.reconcile.outcome import Outcome, Ready, Reconciled, Result, Stalled, Suspended, Waiting
from stow.reconcile.ownership import (
    Found,
    Step,
    Whose,
    decide,
    identity_of,
    owner_text,
    provisioned_as,
    rival,
    whose,
)
from stow.reconcile.ports import Audit, Objects, Publisher, Reader, Stores, Writer
from stow.reconcile.reasons import STALLED_AFTER, outcome_of
from stow.storage.clock import Clock
from stow.storage.crashpoints import Crash, CrashPoint, no_crash
from stow.storage.model import ContainerState, Marker
from stow.storage.store import StowStore

CLAIM_PAUSE = timedelta(seconds=1)
"""Until an object looks again whose container another one is claiming in this very moment."""
SETTLE = timedelta(seconds=3)
"""What is applied together arrives one by one: a location or namespace that is absent for longer than this is missing."""


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """``installation``: tells this cluster's operator from others on the same backend; part of every marker."""

    installation: str
    namespace_grace: timedelta = timedelta(minutes=2)
    recheck_floor: timedelta = timedelta(seconds=30)
    """A container is looked at once per its location's probeInterval, but not more often than this: it costs the backend two calls."""


@dataclass(frozen=True, slots=True)
class ContainerPorts:
    """What the reconcile of containers needs from the world. ``nonce`` gives a text that nobody can guess."""

    objects: Objects
    reader: Reader
    stores: Stores
    writer: Writer
    publisher: Publisher
    audit: Audit
    clock: Clock
    nonce: Callable[[], str] = field(repr=False)
    crash: Crash = no_crash


@dataclass(frozen=True, slots=True)
class _Case:
    """One reconcile: what is known when the backend comes into play."""

    snapshot: Snapshot
    status: ContainerStatus
    ask: Asked
    place: Place
    mine: Marker

    @property
    def namespace(self) -> str:
        return self.mine.namespace


class ContainerReconciler:
    """Safe for concurrent use for different objects, also where they ask for one container: one pass at a time claims an identity.

    The scheduler never runs two for one object.
    """

    def __init__(self, ports: ContainerPorts, settings: ContainerSettings) -> None:
        self._ports = ports
        self._settings = settings
        self._claiming: set[str] = set()
        """Identities that a pass is claiming now: from the look for rivals until status says whose it is, nobody else may."""
        self._deleter = ContainerDeleter(
            objects=ports.objects,
            reader=ports.reader,
            stores=ports.stores,
            writer=ports.writer,
            audit=ports.audit,
            clock=ports.clock,
            crash=ports.crash,
            installation=settings.installation,
            namespace_grace=settings.namespace_grace,
        )

    async def reconcile(self, snapshot: Snapshot) -> Reconciled:
        """One pass. Raises ControlPlaneError where a write or a read of the API server failed: to be tried again."""
        status = container_status(snapshot.status)
        if snapshot.deleting_since is not None:
            return await self._deleter.delete(snapshot, status)
        try:
            ask = eligibility.asked(snapshot)
        except InvalidSpecError as error:
            return _ends(snapshot, status, outcome_of(error))
        if ask.spec.suspend:
            return _ends(snapshot, status, Suspended())
        place = eligibility.find_place(self._ports.objects, ask)
        if not isinstance(place, Place):
            return _ends(snapshot, status, self._settling(snapshot, place))
        mine = Marker(self._settings.installation, snapshot.ref.namespace or "", snapshot.ref.name, snapshot.uid)
        refused = eligibility.check_namespace(place, mine.namespace, self._ports.objects.namespaces())
        if refused is not None:
            return _ends(snapshot, status, self._settling(snapshot, refused))
        case = _Case(snapshot, status, ask, place, mine)
        if status.provisioned is not None and status.backend_identity is not None:
            return await self._verify(case)
        return await self._provision(case)

    def _settling(self, snapshot: Snapshot, refusal: eligibility.Refusal) -> eligibility.Refusal:
        age = self._ports.clock() - snapshot.created_at
        unknown = snapshot.ref.namespace not in self._ports.objects.namespaces()
        may_come = refusal.reason is Reason.LOCATION_NOT_FOUND or unknown
        if may_come and timedelta(0) <= age < SETTLE:
            return Waiting(refusal.reason, refusal.message, SETTLE - age, silent=True)
        return refusal

    # What is provisioned already

    async def _verify(self, case: _Case) -> Reconciled:
        """Whether the container is still there and still ours. While the location cannot tell, the last state stands."""
        not_ready = eligibility.check_ready(case.place)
        if not_ready is not None:
            return self._stands(case, not_ready)
        try:
            store = (await self._ports.stores.open(case.place.snapshot)).store
            if identity_of(store.identity, case.ask.name) != case.status.backend_identity:
                return _ends(case.snapshot, case.status, _location_changed(case.place))
            state = await store.container_state(case.ask.name)
        except StowError as error:
            if error.retryable:
                return self._stands(case, outcome_of(error))
            return _ends(case.snapshot, case.status, outcome_of(error))
        if not state.exists:
            message = (
                f"The container {store.fqn(case.ask.name)} is gone from the backend. It is not made anew; restore it, or "
                "delete this object and apply it again."
            )
            return _ends(case.snapshot, case.status, Stalled(Reason.VANISHED, message, self._recheck(case.place)))
        if whose(state.marker, case.mine) is Whose.FOREIGN:
            return self._conflict(case, state.marker)
        return await self._settled(case, store)

    async def _settled(self, case: _Case, store: StowStore) -> Reconciled:
        """A container that is there and ours, brought to what its spec sets."""
        try:
            settled = await settings.settle(store, case.ask.name, case.ask.spec, case.status)
        except StowError as error:
            if error.retryable:
                return self._stands(case, outcome_of(error))
            return _ends(case.snapshot, case.status, outcome_of(error))
        if settled.was_set:
            self._ports.audit.record("container-configured", case.snapshot, detail=store.fqn(case.ask.name))
        ready = self._ready(case.place, store.fqn(case.ask.name))
        return Reconciled(case.snapshot, Result(ready, settled.status, settled.conditions))

    def _stands(self, case: _Case, otherwise: Outcome) -> Reconciled:
        """A location that is briefly away takes nothing from a container that was Ready: it stays so, and nothing is written."""
        if case.status.fqn is not None and is_true(case.status.conditions, ConditionType.READY):
            return _ends(case.snapshot, case.status, self._ready(case.place, case.status.fqn))
        return _ends(case.snapshot, case.status, otherwise)

    # What is not

    async def _provision(self, case: _Case) -> Reconciled:
        objects = self._ports.objects
        refused = eligibility.check_ready(case.place) or eligibility.check_name(
            case.place,
            case.ask,
            case.namespace,
            namespaces=objects.namespaces(),
            places=eligibility.cluster_places(objects),
        )
        if refused is not None:
            return _ends(case.snapshot, case.status, refused)
        try:
            opened = await self._ports.stores.open(case.place.snapshot)
            if opened.problem is not None:
                raise opened.problem
            settings.check_supported(case.ask.spec.settings, opened.store.capabilities)
        except StowError as error:
            return _ends(case.snapshot, case.status, outcome_of(error))
        identity = identity_of(opened.store.identity, case.ask.name)
        if identity in self._claiming:
            message = f"Another object is asking for the container {case.ask.name} just now."
            return _ends(case.snapshot, case.status, Waiting(Reason.PROGRESSING, message, CLAIM_PAUSE, silent=True))
        self._claiming.add(identity)
        try:
            done = await self._published(await self._claim(case, opened.store, identity))
        except ControlPlaneError:
            raise  # a write or read of this object failed on the way: nothing can be published either
        except StowError as error:
            return _ends(case.snapshot, case.status, outcome_of(error))
        finally:
            self._claiming.discard(identity)
        status = done.result.status
        if case.ask.spec.settings == settings.NOTHING or not isinstance(status, ContainerStatus):
            return done
        if status.provisioned is None:
            return done
        return await self._settled(replace(case, snapshot=done.snapshot, status=status), opened.store)

    async def _published(self, done: Reconciled) -> Reconciled:
        """The same; who got the container stands in status already, for whoever comes next to see."""
        if not isinstance(done.result.status, ContainerStatus) or done.result.status.provisioned is None:
            return done
        snapshot = await self._ports.publisher.publish(done.snapshot, done.result)
        return Reconciled(snapshot, replace(done.result, status=container_status(snapshot.status)))

    async def _claim(self, case: _Case, store: StowStore, identity: str) -> Reconciled:
        better = rival(
            case.snapshot,
            identity,
            others=[
                each for each in self._ports.objects.list(case.snapshot.ref.kind) if _may_mean(each, case.ask.name)
            ],
            wants=self._wants,
        )
        if better is not None:
            return self._conflict(case, better)
        intent = case.status.intent
        if intent is not None and (intent.backend_identity, intent.container_name) != (identity, case.ask.name):
            intent = None
        state = await store.container_state(case.ask.name)
        empty = None
        if intent is not None and not intent.refused and state.exists and state.marker is None:
            empty = (await store.container_contents(case.ask.name)).empty
        step = decide(
            case.ask.spec.provision,
            Found(state, empty),
            asker=case.mine,
            intent=intent,
            predecessor_gone=await self._predecessor_gone(case, state),
            loadable=eligibility.is_loadable(case.place, case.namespace, case.ask.name),
        )
        if step is Step.CREATE:
            return await self._create(case, store, identity, intent)
        if step in {Step.ADOPT_CREATED, Step.ADOPT_LOADED}:
            return await self._adopt(case, store, identity, step, state, intent)
        return self._refuse(case, step, state)

    async def _create(self, case: _Case, store: StowStore, identity: str, intent: Intent | None) -> Reconciled:
        """Finalizer, then the intent in status, then the call: a crash between any two of them loses nothing."""
        if await self._ports.reader.namespace_terminating(case.namespace):
            message = "The namespace is being deleted; nothing is created in it."
            return _ends(case.snapshot, case.status, Waiting(Reason.PROGRESSING, message, STALLED_AFTER))
        snapshot = await self._with_finalizer(case.snapshot)
        status = case.status
        announced_before = intent is not None and not intent.refused
        if intent is None:
            intent = Intent(self._ports.nonce(), case.ask.name, identity, self._ports.clock())
            status = replace(status, container_name=case.ask.name, intent=intent)
            progress = Waiting(Reason.PROGRESSING, f"The container {store.fqn(case.ask.name)} is being created.")
            snapshot = await self._ports.publisher.publish(snapshot, Result(progress, status))
            status = container_status(snapshot.status)
            self._ports.crash(CrashPoint.INTENT_WRITTEN)
        try:
            await store.create_container(case.ask.name, marker=replace(case.mine, nonce=intent.nonce))
        except ContainerTakenError as error:
            # After an earlier unknown outcome this may be our own container: the next look decides.
            kept = status if announced_before else replace(status, intent=None)
            return self._taken(replace(case, snapshot=snapshot, status=kept), error, again=announced_before)
        except InvalidContainerNameError as error:
            return _ends(snapshot, replace(status, intent=None), outcome_of(error))
        except StowError as error:
            refused = not error.retryable and await _is_absent(store, case.ask.name)
            return _ends(snapshot, replace(status, intent=replace(intent, refused=refused)), outcome_of(error))
        return self._provisioned(replace(case, snapshot=snapshot, status=status), store, identity, Step.ADOPT_CREATED)

    async def _adopt(
        self, case: _Case, store: StowStore, identity: str, step: Step, state: ContainerState, intent: Intent | None
    ) -> Reconciled:
        snapshot = await self._with_finalizer(case.snapshot)
        unmarked = whose(state.marker, case.mine) is not Whose.MINE
        if step is Step.ADOPT_CREATED and unmarked and store.capabilities.markers:
            nonce = state.marker.nonce if state.marker is not None else intent.nonce if intent is not None else ""
            try:
                await store.mark_container(case.ask.name, replace(case.mine, nonce=nonce))
            except StowError as error:
                return _ends(snapshot, case.status, outcome_of(error))
        return self._provisioned(replace(case, snapshot=snapshot), store, identity, step)

    def _provisioned(self, case: _Case, store: StowStore, identity: str, step: Step) -> Reconciled:
        fqn = store.fqn(case.ask.name)
        status = replace(
            case.status,
            container_name=case.ask.name,
            fqn=fqn,
            provisioned=provisioned_as(step),
            backend_identity=identity,
            intent=None,
        )
        how = "created" if step is not Step.ADOPT_LOADED else "loaded"
        self._ports.audit.record(f"container-{how}", case.snapshot, detail=fqn)
        return _ends(case.snapshot, status, self._ready(case.place, fqn))

    # Refusals

    def _refuse(self, case: _Case, step: Step, state: ContainerState) -> Reconciled:
        name, status = case.ask.name, replace(case.status, intent=None)
        if step is Step.CONFLICT:
            return self._conflict(replace(case, status=status), state.marker)
        if step is Step.NOT_FOUND:
            message = (
                f"There is no container {name} at the {case.place.text}; create it, or use provision: LoadOrCreate."
            )
            return _ends(case.snapshot, status, Waiting(Reason.CONTAINER_NOT_FOUND, message))
        if step is Step.LOAD_NOT_ALLOWED:
            message = (
                f"The container {name} exists, and the {case.place.text} does not list it for this namespace in "
                "loadableContainers; ask the platform team to add it."
            )
            return _ends(case.snapshot, status, Stalled(Reason.LOAD_NOT_ALLOWED, message, STALLED_AFTER))
        return _ends(case.snapshot, status, self._already_exists(case, state.marker))

    def _taken(self, case: _Case, error: ContainerTakenError, *, again: bool = False) -> Reconciled:
        """The backend refused a create. LoadOrCreate looks again: what came in between may be loaded."""
        if again or case.ask.spec.provision.value != "Create":
            return _ends(case.snapshot, case.status, Waiting(Reason.PROGRESSING, error.message))
        return _ends(case.snapshot, case.status, self._already_exists(case, None))

    def _already_exists(self, case: _Case, marker: Marker | None) -> Stalled:
        owner = f", {self._owner_text(case, marker)}" if marker is not None else ""
        message = f"A container {case.ask.name} exists already{owner}; set another spec.containerName, or use provision: Load."
        return Stalled(Reason.ALREADY_EXISTS, message, STALLED_AFTER)

    def _conflict(self, case: _Case, owner: Snapshot | Marker | None) -> Reconciled:
        message = f"The container {case.ask.name} is {self._owner_text(case, owner)}; set another spec.containerName."
        conflict = Wanted(ConditionType.CONFLICT, "True", Reason.CONFLICT, message)
        outcome = Stalled(Reason.CONFLICT, message, STALLED_AFTER)
        return Reconciled(case.snapshot, Result(outcome, case.status, (conflict,)))

    def _owner_text(self, case: _Case, owner: Snapshot | Marker | None) -> str:
        return owner_text(owner, namespace=case.namespace, installation=self._settings.installation)

    # Small steps

    def _ready(self, place: Place, fqn: str) -> Ready:
        return Ready(
            Reason.PROVISIONED, f"The container {fqn} is there and belongs to this object.", self._recheck(place)
        )

    def _recheck(self, place: Place) -> timedelta:
        return max(place.spec.probe_interval, self._settings.recheck_floor)

    def _wants(self, other: Snapshot) -> str | None:
        wanted = eligibility.wanted_backend(self._ports.objects, other)
        return identity_of(*wanted) if wanted is not None else None

    async def _with_finalizer(self, snapshot: Snapshot) -> Snapshot:
        added = await self._ports.writer.add_finalizer(snapshot)
        if added is not snapshot:
            self._ports.crash(CrashPoint.FINALIZER_ADDED)
        return added

    async def _predecessor_gone(self, case: _Case, state: ContainerState) -> bool:
        """Names are unique, so the object of the other UID is gone exactly when the living one of that name is this one."""
        if whose(state.marker, case.mine) is not Whose.PREDECESSOR:
            return False
        living = await self._ports.reader.read(case.snapshot.ref)
        return living is not None and living.uid == case.snapshot.uid


def _may_mean(container: Snapshot, name: str) -> bool:
    """Whether a StowContainer can ask for a container of that name. Cheap: it is asked of all of them."""
    given = container.spec.get("containerName")
    if given is not None:
        return bool(given == name)
    return name in {container.ref.name, f"{container.ref.namespace}-{container.ref.name}"}


async def _is_absent(store: StowStore, name: str) -> bool:
    """Whether a create that was refused has made nothing for sure: a refusal may also concern the mark, which comes after it."""
    try:
        return not (await store.container_state(name)).exists
    except StowError:
        return False


def _location_changed(place: Place) -> Stalled:
    message = (
        f"The {place.text} now leads to another backend than the one that holds the container, so nothing is written or "
        "deleted; set the location back, or abandon this object."
    )
    return Stalled(Reason.LOCATION_CHANGED, message, STALLED_AFTER)


def _ends(snapshot: Snapshot, status: ContainerStatus, outcome: Outcome) -> Reconciled:
    return Reconciled(snapshot, Result(outcome, status))
