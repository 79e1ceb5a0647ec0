"""Stable colours: an entity gets a slot of the palette when it is first seen, and keeps it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from governance.models import EntityColour

SLOTS = 16
OTHER = 0
# Rows that name nothing in the dimension have a grey of their own, so that they never look like an entity.
UNNAMED = 17
MAX_SERIES = 8


def slots_of(dimension: str, entities: Sequence[str]) -> dict[str, int]:
    """The slot of each entity, in a dimension; new ones get the least used slot, in the order given."""
    kept = dict(EntityColour.objects.filter(dimension=dimension).values_list("entity", "slot"))
    fresh = free_slots([each for each in entities if each and each not in kept], kept.values())
    if fresh:
        rows = [EntityColour(dimension=dimension, entity=entity, slot=slot) for entity, slot in fresh.items()]
        # Two readers may meet a new entity at once; the first one's choice stands.
        EntityColour.objects.bulk_create(rows, ignore_conflicts=True)
        kept = dict(EntityColour.objects.filter(dimension=dimension).values_list("entity", "slot"))
    return {entity: kept[entity] if entity else UNNAMED for entity in entities}


def free_slots(entities: Iterable[str], taken: Iterable[int]) -> dict[str, int]:
    """A slot for each new entity: the least used, the lowest of those."""
    used = Counter(taken)
    given: dict[str, int] = {}
    for entity in entities:
        slot = min(range(1, SLOTS + 1), key=lambda each: (used[each], each))
        used[slot] += 1
        given[entity] = slot
    return given


def shown(ranked: Sequence[str], slots: dict[str, int], limit: int = MAX_SERIES) -> list[str]:
    """Which of the entities, largest first, get a series of their own: at most `limit`, no two of one colour."""
    chosen: list[str] = []
    for entity in ranked:
        if len(chosen) == limit:
            break
        if slots[entity] not in {slots[each] for each in chosen}:
            chosen.append(entity)
    return chosen
