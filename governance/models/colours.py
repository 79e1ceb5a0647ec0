"""Which colour an entity has on every page and figure."""

from django.db import models


class EntityColour(models.Model):
    """A slot of the palette belongs to an entity of a dimension for good; it never follows rank.

    Slots 1 to 8 are the palette's fills, 9 to 16 the same hues as outlines on a pale fill.
    """

    dimension = models.CharField(max_length=32)  # model, team, provider ...
    entity = models.CharField(max_length=300)  # the lake's slug; '' for rows that name none
    slot = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dimension", "entity"], name="one_colour_of_an_entity")]
