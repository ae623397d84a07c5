"""What clients asked of a server, and what it acknowledged at which place of the log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple


class Key(NamedTuple):
    """A chart version, or with `kind` "blob" a blob of an OCI name: `version` is its digest then."""

    kind: str
    repository: str
    name: str
    version: str


class State(NamedTuple):
    """Digests (hex) of a chart's archive and of its provenance, or of a blob; None for what is not there."""

    digest: str | None = None
    provenance: str | None = None


@dataclass(slots=True)
class Step:
    """One request that changes what a key names. `end` is None while it is not acknowledged."""

    request: str
    state: State
    begin: int
    end: int | None = None
    created: str | None = None


class Allowed(NamedTuple):
    """What may be found under a key: the last acknowledged step, and one that was under way."""

    must: Step
    maybe: tuple[Step, ...]


@dataclass(slots=True)
class History:
    """Steps by key, in the order of their requests: each key belongs to one client, which waits for each answer."""

    steps: dict[Key, list[Step]] = field(default_factory=dict)
    count: int = 0
    number: int = 0

    def next_number(self) -> int:
        """Return a number that no other chart of this history has."""
        self.number += 1
        return self.number

    def begin(self, key: Key, state: State, place: int) -> Step:
        self.count += 1
        step = Step(f"power-{self.count}", state, place)
        self.steps.setdefault(key, []).append(step)
        return step

    def take_back(self, key: Key, step: Step) -> None:
        """Forget a request that changed nothing."""
        self.steps[key].remove(step)

    def set_answers(self, answers: dict[str, int]) -> None:
        """Take the places at which the answers left the server, which are earlier than those at which they came."""
        for steps in self.steps.values():
            for step in steps:
                if step.end is not None and step.request in answers:
                    step.end = min(step.end, answers[step.request])

    def at(self, place: int) -> dict[Key, Allowed]:
        """Return what a crash at a place of the log may leave of each key that was ever asked for."""
        found = {}
        for key, steps in self.steps.items():
            must, maybe = Step("", State(), -1, -1), list[Step]()
            for step in steps:
                if step.end is not None and step.end <= place:
                    must, maybe = step, []
                elif step.begin <= place:
                    maybe.append(step)
            found[key] = Allowed(must, tuple(maybe))
        return found

    def after(self, place: int) -> History:
        """Return the history of a store that begins with such a crash."""
        later = History(count=self.count, number=self.number)
        for key, allowed in self.at(place).items():
            unsure = [replace(step, begin=-1, end=None) for step in allowed.maybe]
            later.steps[key] = [replace(allowed.must, begin=-1, end=-1), *unsure]
        return later

    def acknowledged(self) -> int:
        """Return the number of steps that were acknowledged."""
        return sum(step.end is not None for steps in self.steps.values() for step in steps)
