"""The JSON Schema of a request: the three shapes told apart, and the validator's rules as far as a schema can
say them.

It is written with `if`, `then` and `else`, so that an editor shows what is wrong in the shape that was meant,
and not that none of three fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema

from shared.catalog.terms import Provider
from shared.requests.request import SHAPES
from shared.requests.shapes import Shape, ShapeA, ShapeC

if TYPE_CHECKING:
    from pydantic_core import core_schema

    from shared.catalog.catalog import Catalog

Json = dict[str, Any]
_PROVIDERS: tuple[Provider, ...] = get_args(Provider)
_ENTRIES: dict[Provider, str] = {"foundry": "FoundryEntry", "kaito": "KaitoEntry", "openai": "OpenAIEntry"}


class WrittenSchema(GenerateJsonSchema):
    """A key that may be missing has a value when it is there: null is none."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]
        return found


def request_schema(catalog: Catalog | None) -> Json:
    """The schema of a request; with a catalogue its models and instance types are the only ones."""
    references, found = models_json_schema(
        [(shape, "validation") for shape in SHAPES], title="Access request", schema_generator=WrittenSchema
    )
    definitions: Json = found["$defs"]
    _add_rules(definitions)
    if catalog is not None:
        _add_offer(definitions, catalog)
    shapes: dict[type[Shape], Json] = {shape: references[shape, "validation"] for shape in SHAPES}
    config_map = next(shape for shape in SHAPES if shape not in (ShapeA, ShapeC))
    others = {"if": _short_form(), "then": shapes[ShapeC], "else": shapes[ShapeA]}
    begins = {"anyOf": [{"required": ["kind"]}, {"required": ["data"]}]}
    return {**found, "type": "object", "if": begins, "then": shapes[config_map], "else": others}


def _short_form() -> Json:
    """Whether a provider's models are a mapping, as in the short form."""
    short = [{"required": [each], "properties": {each: {"type": "object"}}} for each in _PROVIDERS]
    listed = {"required": ["foundry"], "properties": {"foundry": {"type": "array"}}}
    return {
        "required": ["models"],
        "properties": {"models": {"type": "object", "anyOf": short, "not": listed}},
    }


def _add_rules(definitions: Json) -> None:
    """The rules between keys: at least one model, an instance type only for a workspace of the team's own, no
    playground for restricted data.
    """
    definitions["ModelsA"]["anyOf"] = [
        {"required": [each], "properties": {each: {"minItems": 1}}} for each in _PROVIDERS
    ]
    definitions["ModelsC"]["anyOf"] = [
        {
            "required": [each],
            "properties": {each: {"required": ["models"], "properties": {"models": {"minItems": 1}}}},
        }
        for each in _PROVIDERS
    ]
    definitions["KaitoEntry"] |= {
        "if": {"required": ["instanceType"]},
        "then": {"required": ["dedicated"], "properties": {"dedicated": {"const": True}}},
    }
    for name in ("ShapeA", "ShapeC"):
        features = {"properties": {"playgroundAccess": {"const": False}}}
        definitions[name] |= _without_playground({"properties": {"features": features}})
    definitions["Data"] |= _without_playground({"properties": {"playgroundAccess": {"const": "false"}}})
    definitions["Metadata"]["properties"]["name"]["pattern"] = "-access-request$"
    definitions["Labels"]["patternProperties"] = {"^[^/]+/request-type$": {"const": "model-access"}}


def _without_playground(then: Json) -> Json:
    restricted = {"dataClassification": {"const": "restricted"}}
    return {"if": {"required": ["dataClassification"], "properties": restricted}, "then": then}


def _add_offer(definitions: Json, catalog: Catalog) -> None:
    """The models on offer, by provider, and the instance types of the kaito ones."""
    for provider, entry in _ENTRIES.items():
        names = [model.name for model in catalog.models if model.provider == provider]
        offer: Json = {"enum": names} if names else {"not": {}}
        definitions[entry]["properties"]["name"] |= offer
        choice = definitions["ModelsC"]["properties"][provider]
        choice |= {"properties": {"models": {"items": offer}}}
    permitted = [model.dedicated for model in catalog.models if model.dedicated is not None]
    types = sorted({instance for each in permitted for instance in each.instance_types})
    if types:
        definitions["KaitoEntry"]["properties"]["instanceType"] |= {"enum": types}
