"""How far a root has read its topics, and its leafs theirs; and from where on the root needs them again. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.contribution import Progress


class Reading:
    """`first`: topic -> the first offset that is given; `ends`: topic -> its end at the start.

    Of a topic that is not among `ends` nothing has to be read before the root takes part.
    """

    def __init__(self, *, first: Mapping[str, int], ends: Mapping[str, int]) -> None:
        self._place = dict(first)
        self._needed: dict[str, dict[int, int]] = {topic: {} for topic in first}
        self._ends = dict(ends)
        self._leafs: dict[int, int] = {}

    def read(self, topic: str, offset: int) -> None:
        """The record at `offset` is taken."""
        self._place[topic] = offset + 1

    def need(self, topic: str, window: int, offset: int) -> None:
        """It is needed until its window is over."""
        self._needed[topic].setdefault(window, offset)

    @property
    def reached(self) -> bool:
        """Whether all is read that was there at the start."""
        return all(self._place[topic] >= end for topic, end in self._ends.items())

    def leaf(self, progress: Progress) -> None:
        """A leaf says how far it has read its partition of the shares."""
        self._leafs[progress.partition] = max(self._leafs.get(progress.partition, 0), progress.offset)

    def leafs_reached(self, goal: Mapping[int, int]) -> bool:
        """Whether the leafs have read so far: partition of the shares -> offset."""
        return all(self._leafs.get(partition, 0) >= end for partition, end in goal.items())

    def committable(self, pin: int) -> dict[str, int]:
        """Topic -> first offset that is still needed; on control nothing behind `pin` goes (`Agreement.pin`)."""
        places = {topic: min(self._needed[topic].values(), default=place) for topic, place in self._place.items()}
        places["control"] = min(places["control"], pin)
        return places

    def forget_below(self, over: int) -> None:
        """Windows that start before `over` need nothing more."""
        for needed in self._needed.values():
            for window in [window for window in needed if window < over]:
                del needed[window]
