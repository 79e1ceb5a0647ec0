"""A pydantic model a table; what a query did not include is None."""

from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from .schema import models


class Row(BaseModel):
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True, protected_namespaces=())

    @classmethod
    def prisma(cls) -> Any:
        raise NotImplementedError


for _name, _model in models().items():
    globals()[_name] = create_model(_name, __base__=Row, **dict.fromkeys(_model.fields, (Any, None)))
