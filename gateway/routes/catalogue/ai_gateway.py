"""MLflow's AI gateway: its administration, and the calls that spend its provider keys.

Server-wide: roles.yaml says who may invoke; everything else is for admins by default.
"""

from __future__ import annotations

from gateway.routes.catalogue.rows import Request, delete, get, patch, post, refused
from gateway.routes.route import AJAX, BodyKind, Route

_G = "3.0/mlflow/gateway"


def _get(name: str, message: Request) -> Route:
    return get(f"{_G}/{name}", message, scope="server")


def _post(name: str, message: Request) -> Route:
    return post(f"{_G}/{name}", message, scope="server")


def _delete(name: str, message: Request) -> Route:
    return delete(f"{_G}/{name}", message, scope="server")


def _ajax(name: str, fields: Request) -> Route:
    return get(f"{_G}/{name}", fields, scope="server", prefixes=AJAX)


def _invoke(path: str, call: str | None = None, body: BodyKind = "free") -> Route:
    """An invocation: the endpoint is in the path or in the body's ``model``."""
    return post(f"/gateway/{path}", None, scope="server", body=body, call=call or f"gateway/{path}")


ADMINISTRATION: tuple[Route, ...] = (
    _post("secrets/create", "CreateGatewaySecret"),
    _get("secrets/get", "GetGatewaySecretInfo"),
    _get("secrets/list", "ListGatewaySecretInfos"),
    _post("secrets/update", "UpdateGatewaySecret"),
    _delete("secrets/delete", "DeleteGatewaySecret"),
    _ajax("secrets/config", None),
    _post("endpoints/create", "CreateGatewayEndpoint"),
    _get("endpoints/get", "GetGatewayEndpoint"),
    _get("endpoints/list", "ListGatewayEndpoints"),
    _post("endpoints/update", "UpdateGatewayEndpoint"),
    _delete("endpoints/delete", "DeleteGatewayEndpoint"),
    _post("endpoints/set-tag", "SetGatewayEndpointTag"),
    _delete("endpoints/delete-tag", "DeleteGatewayEndpointTag"),
    _post("endpoints/models/attach", "AttachModelToGatewayEndpoint"),
    _post("endpoints/models/detach", "DetachModelFromGatewayEndpoint"),
    _post("endpoints/bindings/create", "CreateGatewayEndpointBinding"),
    _delete("endpoints/bindings/delete", "DeleteGatewayEndpointBinding"),
    _get("endpoints/bindings/list", "ListGatewayEndpointBindings"),
    _post("model-definitions/create", "CreateGatewayModelDefinition"),
    _get("model-definitions/get", "GetGatewayModelDefinition"),
    _get("model-definitions/list", "ListGatewayModelDefinitions"),
    _post("model-definitions/update", "UpdateGatewayModelDefinition"),
    _delete("model-definitions/delete", "DeleteGatewayModelDefinition"),
    _post("budgets/create", "CreateGatewayBudgetPolicy"),
    _get("budgets/get", "GetGatewayBudgetPolicy"),
    _get("budgets/list", "ListGatewayBudgetPolicies"),
    _post("budgets/update", "UpdateGatewayBudgetPolicy"),
    _delete("budgets/delete", "DeleteGatewayBudgetPolicy"),
    _get("budgets/windows", "ListGatewayBudgetWindows"),
    _post("guardrails/create", "CreateGatewayGuardrail"),
    _get("guardrails/get", "GetGatewayGuardrail"),
    _get("guardrails/list", "ListGatewayGuardrails"),
    _delete("guardrails/delete", "DeleteGatewayGuardrail"),
    _post("guardrails/add-to-endpoint", "AddGuardrailToEndpoint"),
    _delete("guardrails/remove-from-endpoint", "RemoveGuardrailFromEndpoint"),
    _get("guardrails/list-for-endpoint", "ListEndpointGuardrailConfigs"),
    patch(f"{_G}/guardrails/update-config", "UpdateEndpointGuardrailConfig", scope="server"),
    _ajax("supported-providers", None),
    _ajax("supported-models", {"provider": "string"}),
    _ajax("provider-config", {"provider": "string"}),
)

_PROXIED = "It calls an address of the caller's choice from the server."

INVOCATIONS: tuple[Route, ...] = (
    _invoke("{endpoint_name}/mlflow/invocations", call="gateway/{id}/mlflow/invocations"),
    _invoke("mlflow/v1/chat/completions"),
    get("/gateway/mlflow/v1/models", None, scope="server"),
    _invoke("openai/v1/chat/completions"),
    _invoke("openai/v1/embeddings"),
    _invoke("openai/v1/responses"),
    _invoke("openai/v1/responses/compact"),
    _invoke("anthropic/v1/messages"),
    _invoke("typesafe/v1/systemone"),
    # Both {endpoint_name}:generateContent and {endpoint_name}:streamGenerateContent.
    _invoke("gemini/v1beta/models/{endpoint_action}", call="gateway/gemini/v1beta/models/{id}"),
    _invoke("proxy/{endpoint_name}/{path:path}", call="gateway/proxy/{id}/{path}"),
    # MLflow calls MLFLOW_DEPLOYMENTS_TARGET with a path out of the request. Its page asks for this
    # one whenever an experiment is opened; a MLflow without a target answers with an empty list.
    get(
        "2.0/mlflow/gateway-proxy",
        {"gateway_path": "string"},
        scope="server",
        prefixes=AJAX,
        call="gateway-proxy:GET",
        fixed={"gateway_path": ("api/2.0/endpoints/", "api/2.0/endpoints")},
    ),
    refused("POST", "/2.0/mlflow/gateway-proxy", _PROXIED, prefixes=AJAX),
)

ROWS: tuple[Route, ...] = (*ADMINISTRATION, *INVOCATIONS)
