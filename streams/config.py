"""party.toml and collector.toml (operators.md 1.4 and 1.5)."""

from __future__ import annotations

from typing import Literal

from protocol.model import Name
from runtime.secret import RelativePath, SecretFile
from runtime.sections import CollectorHttp, KafkaSection, LogSection, PartyHttp, Section


class PartyFile(Section):
    """One of those that add up. More workers: the same file on more machines."""

    format: Literal[1]
    name: Name
    task: RelativePath
    roster: RelativePath
    key: SecretFile
    kafka: KafkaSection
    http: PartyHttp = PartyHttp()
    log: LogSection = LogSection()


class CollectorFile(Section):
    """Puts the parties' totals together."""

    format: Literal[1]
    task: RelativePath
    roster: RelativePath
    key: SecretFile
    kafka: KafkaSection
    http: CollectorHttp = CollectorHttp()
    log: LogSection = LogSection()
