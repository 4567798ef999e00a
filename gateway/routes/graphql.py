"""The one reading of a GraphQL request (``/graphql``): parsed, checked, and written anew.

The document is validated against MLflow's pinned schema, then rebuilt as one operation with
fragments expanded, ``@skip`` and ``@include`` decided, variables put in as values and ids in one
spelling. Only that document is forwarded, so what was authorized is what is executed.

Limits as in ``mlflow/server/graphql/graphql_no_batching.py``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, cast

from graphql import (
    ArgumentNode,
    DocumentNode,
    ExecutableDefinitionNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    TypeNameMetaFieldDef,
    ast_from_value,
    build_schema,
    get_named_type,
    parse,
    print_ast,
    validate,
)
from graphql.execution.collect_fields import collect_fields, collect_sub_fields
from graphql.execution.values import get_argument_values, get_variable_values

from gateway.errors import BadRequest
from gateway.routes.graphql_fields import (
    NESTED,
    REFUSED_ROOTS,
    ROOTS,
    TRIMMED_NAME,
    TRIMMED_TYPE,
    Root,
)
from gateway.routes.route import Ref, RefKind
from gateway.routes.schema import MLFLOW_VERSION
from gateway.routes.target import check_artifact_segments

MAX_DEPTH = 10
MAX_SELECTIONS = 1000
MAX_ROOT_FIELDS = 10
MAX_ALIASES = 10
MAX_TOKENS = 1000
MAX_REPEATS = 100
"""How often one response key may be written: comparing them for overlap costs the square."""
MAX_LENGTH = 100_000

PRIVATE_ALIAS = "mlgate_name"
"""The key under which a version's model name is asked for when the caller did not ask for it."""

_EXPERIMENT_ID = re.compile(r"0|[1-9][0-9]{0,24}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,255}", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrimPath:
    """A list of model versions in the answer.

    ``path`` are the response keys that lead to it (lists on the way count as one step), ``name``
    the key of the model's name in a version; ``added`` if the caller did not ask for that key.
    """

    path: tuple[str, ...]
    name: str
    added: bool


@dataclass(frozen=True, slots=True)
class GraphQLCall:
    """A request as it may be forwarded.

    ``refs``: identifiers whose resources must all allow their call. ``calls``: every REST twin
    that MLflow will run, those of the refs included. ``trims``: where the answer must be trimmed.
    """

    document: str
    refs: tuple[Ref, ...]
    calls: tuple[str, ...]
    trims: tuple[TrimPath, ...]

    @property
    def body(self) -> dict[str, str]:
        """The JSON body to forward: no variables, no operation name."""
        return {"query": self.document}


def read_graphql(body: Mapping[str, Any], *, introspection: bool = False) -> GraphQLCall:
    """Read the JSON body of a GraphQL request.

    ``introspection`` lets ``__schema`` and ``__type`` pass (admins). Raises BadRequest for
    whatever MLflow would refuse or that names resources in two ways, for more than one
    operation, and for fields that the gateway does not know.
    """
    query = body.get("query")
    if not isinstance(query, str) or not query:
        raise BadRequest("Send the GraphQL document as the string 'query' of a JSON object.")
    document = _valid_document(query)
    operation = _only_operation(document, body.get("operationName"))
    variables = _variables(operation, body.get("variables"))
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    call = _Rewriter(fragments, variables, introspection).rewrite(operation)
    try:
        call.document.encode()
    except UnicodeEncodeError as error:
        raise BadRequest("The GraphQL document has text that is not valid Unicode.") from error
    return call


@cache
def pinned_schema() -> GraphQLSchema:
    """MLflow's own schema, printed by ``tests/unit/graphql/print_schema.py``."""
    name = f"graphql_{MLFLOW_VERSION.replace('.', '_')}.graphql"
    text = files("gateway.routes.schema").joinpath(name).read_text(encoding="utf-8")
    return build_schema(text)


@lru_cache(maxsize=32)
def _valid_document(query: str) -> DocumentNode:
    """Parse and validate; kept, because MLflow's UI sends the same few documents all day."""
    if len(query) > MAX_LENGTH:
        raise BadRequest("The GraphQL document is too long; ask for less at once.")
    try:
        document = parse(query, no_location=True, max_tokens=MAX_TOKENS)
        _check_repeats(document)
        errors = validate(pinned_schema(), document, max_errors=1)
    except GraphQLError as error:
        raise _invalid(error) from error
    except RecursionError as error:
        raise BadRequest("The GraphQL document is nested too deeply.") from error
    if errors:
        raise _invalid(errors[0])
    return document


def _check_repeats(document: DocumentNode) -> None:
    keys: Counter[str] = Counter()
    sets = [
        d.selection_set for d in document.definitions if isinstance(d, ExecutableDefinitionNode)
    ]
    while sets:
        for node in sets.pop().selections:
            if isinstance(node, FieldNode):
                keys[_key(node)] += 1
            below = getattr(node, "selection_set", None)
            if below is not None:
                sets.append(below)
    if keys and max(keys.values()) > MAX_REPEATS:
        raise BadRequest("The GraphQL document repeats one field too often; ask for it once.")


def _only_operation(document: DocumentNode, name: object) -> OperationDefinitionNode:
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) != 1:
        raise BadRequest("Send GraphQL documents with exactly one operation.")
    own = operations[0].name
    if name not in (None, "") and (own is None or own.value != name):
        raise BadRequest("'operationName' does not name the operation of the document.")
    return operations[0]


def _variables(operation: OperationDefinitionNode, given: object) -> dict[str, Any]:
    if given is not None and not isinstance(given, dict):
        raise BadRequest("'variables' must be a JSON object.")
    definitions = operation.variable_definitions or ()
    found = get_variable_values(pinned_schema(), definitions, given or {}, max_errors=1)
    if isinstance(found, list):
        raise _invalid(found[0])
    return found


def _invalid(error: GraphQLError) -> BadRequest:
    text = error.message.encode("ascii", "backslashreplace").decode()[:300]
    return BadRequest(f"The GraphQL document is not one for MLflow: {text}")


@dataclass(slots=True)
class _Rewriter:
    """Rebuilds one operation and notes what it touches."""

    fragments: dict[str, FragmentDefinitionNode]
    variables: dict[str, Any]
    introspection: bool
    refs: dict[Ref, None] = field(default_factory=dict)
    calls: dict[str, None] = field(default_factory=dict)
    trims: list[TrimPath] = field(default_factory=list)
    selections: int = 0

    def rewrite(self, operation: OperationDefinitionNode) -> GraphQLCall:
        schema = pinned_schema()
        root_type = schema.get_root_type(operation.operation)
        if root_type is None:
            raise BadRequest("MLflow has GraphQL queries and mutations only.")
        groups = collect_fields(
            schema, self.fragments, self.variables, root_type, operation.selection_set
        )
        if len(groups) > MAX_ROOT_FIELDS:
            raise BadRequest(f"Ask for at most {MAX_ROOT_FIELDS} root fields in one document.")
        roots = ROOTS[operation.operation.value]
        fields = [self.root(root_type, roots, key, nodes) for key, nodes in groups.items()]
        self.count(fields)
        if not fields:
            raise BadRequest("The GraphQL document asks for nothing.")
        rebuilt = OperationDefinitionNode(
            operation=operation.operation,
            variable_definitions=(),
            directives=(),
            selection_set=SelectionSetNode(selections=tuple(fields)),
        )
        document = print_ast(DocumentNode(definitions=(rebuilt,)))
        return GraphQLCall(document, tuple(self.refs), tuple(self.calls), tuple(self.trims))

    def root(
        self,
        parent: GraphQLObjectType,
        roots: Mapping[str, Root],
        key: str,
        nodes: list[FieldNode],
    ) -> FieldNode:
        name = _one_name(nodes)
        if name == "__typename" or (name in ("__schema", "__type") and self.introspection):
            return self.field(parent, key, nodes, (key,), ())
        if name in ("__schema", "__type"):
            raise BadRequest("Only an admin may ask for the GraphQL schema.")
        meaning = roots.get(name)
        if meaning is None or name in REFUSED_ROOTS:
            raise BadRequest(f"The gateway does not pass the GraphQL field '{name}'.")
        definition = _definition(parent, name)
        given = get_argument_values(definition, nodes[0], self.variables).get("input")
        input_type = get_named_type(definition.args["input"].type)
        if not isinstance(given, dict) or not isinstance(input_type, GraphQLInputObjectType):
            raise BadRequest(f"The GraphQL field '{name}' needs an 'input' object.")
        value = _clean_object(given, input_type)
        for refused in meaning.refuses:
            if refused in value:
                raise BadRequest(
                    f"The gateway does not pass '{refused}' of the GraphQL field '{name}': "
                    f"leave it out, or use {meaning.call}."
                )
        ids = _ids(meaning, name, value)
        if isinstance(value.get("path"), str) and value["path"]:
            check_artifact_segments(value["path"].split("/"))
        self.calls[meaning.call] = None
        found = tuple((cast(RefKind, meaning.kind), one) for one in ids)
        for kind, one in found:
            self.refs[Ref(kind, one, meaning.call)] = None
        arguments = (_argument("input", value, input_type),)
        return self.field(parent, key, nodes, (key,), found, arguments)

    def field(
        self,
        parent: GraphQLObjectType,
        key: str,
        nodes: list[FieldNode],
        path: tuple[str, ...],
        found: tuple[tuple[RefKind, str], ...],
        arguments: tuple[ArgumentNode, ...] | None = None,
    ) -> FieldNode:
        """One field with everything below it; ``found`` is what its root field named."""
        if len(path) > MAX_DEPTH:
            raise BadRequest(f"Nest GraphQL fields at most {MAX_DEPTH} deep.")
        self.selections += 1
        if self.selections > MAX_SELECTIONS:
            raise BadRequest(f"Ask for at most {MAX_SELECTIONS} GraphQL fields in one document.")
        name = _one_name(nodes)
        if key.startswith(PRIVATE_ALIAS):
            raise BadRequest(f"The alias '{PRIVATE_ALIAS}' is the gateway's own; use another.")
        definition = _definition(parent, name)
        nested = NESTED.get((parent.name, name))
        if nested is not None:
            self.nested(nested, found, definition)
        if arguments is None:
            values = get_argument_values(definition, nodes[0], self.variables)
            arguments = tuple(
                _argument(k, v, definition.args[k].type) for k, v in values.items() if v is not None
            )
        below = self.below(definition, nodes, path, found)
        return FieldNode(
            alias=NameNode(value=key) if key != name else None,
            name=NameNode(value=name),
            arguments=arguments,
            directives=(),
            selection_set=SelectionSetNode(selections=tuple(below)) if below else None,
        )

    def nested(
        self, call: str, found: tuple[tuple[RefKind, str], ...], definition: GraphQLField
    ) -> None:
        self.calls[call] = None
        if get_named_type(definition.type).name != TRIMMED_TYPE:
            for kind, one in found:
                self.refs[Ref(kind, one, call)] = None

    def below(
        self,
        definition: GraphQLField,
        nodes: list[FieldNode],
        path: tuple[str, ...],
        found: tuple[tuple[RefKind, str], ...],
    ) -> list[FieldNode]:
        below_type = get_named_type(definition.type)
        if not isinstance(below_type, GraphQLObjectType):
            return []
        groups = collect_sub_fields(
            pinned_schema(), self.fragments, self.variables, below_type, nodes
        )
        fields = [
            self.field(below_type, key, subnodes, (*path, key), found)
            for key, subnodes in groups.items()
        ]
        if not fields:
            raise BadRequest("A GraphQL field asks for nothing below it.")
        if below_type.name == TRIMMED_TYPE:
            fields = self.with_name(fields, path)
        self.count(fields)
        return fields

    def with_name(self, fields: list[FieldNode], path: tuple[str, ...]) -> list[FieldNode]:
        """The fields of a model version with the model's name among them."""
        for one in fields:
            if one.name.value == TRIMMED_NAME:
                self.trims.append(TrimPath(path, _key(one), added=False))
                return fields
        self.trims.append(TrimPath(path, PRIVATE_ALIAS, added=True))
        own = FieldNode(
            alias=NameNode(value=PRIVATE_ALIAS),
            name=NameNode(value=TRIMMED_NAME),
            arguments=(),
            directives=(),
        )
        return [*fields, own]

    def count(self, fields: list[FieldNode]) -> None:
        # Ours counts too: MLflow would refuse the document for it.
        if sum(one.alias is not None for one in fields) > MAX_ALIASES:
            raise BadRequest(
                f"Use at most {MAX_ALIASES} GraphQL aliases on one level; "
                f"or ask for the field '{TRIMMED_NAME}' of model versions."
            )


def _one_name(nodes: list[FieldNode]) -> str:
    name = nodes[0].name.value
    if any(node.name.value != name for node in nodes):
        raise BadRequest("One GraphQL key stands for two fields; give them different aliases.")
    return name


def _key(node: FieldNode) -> str:
    return node.alias.value if node.alias else node.name.value


def _definition(parent: GraphQLObjectType, name: str) -> GraphQLField:
    meta = {"__typename": TypeNameMetaFieldDef, "__schema": SchemaMetaFieldDef}
    if name == "__type":
        return TypeMetaFieldDef
    return meta[name] if name in meta else parent.fields[name]


def _ids(meaning: Root, name: str, value: dict[str, Any]) -> list[str]:
    """The ids in an input, which is changed to hold them in one spelling."""
    if not meaning.names:
        return []
    given = [value.pop(spelling) for spelling in meaning.names if spelling in value]
    if not given or any(other != given[0] for other in given):
        raise BadRequest(
            f"The GraphQL field '{name}' needs '{meaning.names[0]}', and one value only."
        )
    ids = given[0] if meaning.many else [given[0]]
    syntax = _EXPERIMENT_ID if meaning.kind is RefKind.EXPERIMENT else _ID
    if not ids or not all(syntax.fullmatch(one) for one in ids):
        raise BadRequest(f"'{meaning.names[0]}' of '{name}' is missing, empty or no id.")
    if meaning.most is not None and len(ids) > meaning.most:
        raise BadRequest(f"'{meaning.names[0]}' of '{name}' takes at most {meaning.most} ids.")
    value[meaning.names[0]] = ids if meaning.many else ids[0]
    return list(dict.fromkeys(ids))


def _argument(name: str, value: object, kind: GraphQLInputType) -> ArgumentNode:
    node = ast_from_value(value, kind)
    if node is None:
        raise BadRequest(f"The GraphQL argument '{name}' has no value.")
    return ArgumentNode(name=NameNode(value=name), value=node)


def _clean_object(value: dict[str, Any], kind: GraphQLInputObjectType) -> dict[str, Any]:
    """An input object without nulls, which mean absent."""
    return {
        name: _clean(item, kind.fields[name].type)
        for name, item in value.items()
        if item is not None
    }


def _clean(value: object, kind: GraphQLInputType) -> object:
    if isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if value is None:
        raise BadRequest("A list in the GraphQL document has a null in it.")
    if isinstance(kind, GraphQLList):
        return [_clean(item, kind.of_type) for item in cast(list[object], value)]
    if isinstance(kind, GraphQLInputObjectType):
        return _clean_object(cast(dict[str, Any], value), kind)
    if isinstance(kind, GraphQLScalarType) and kind.name == "LongString":
        # MLflow reads integer literals, and text in variables by int().
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadRequest("A LongString of the GraphQL document must be an integer.")
    return value
