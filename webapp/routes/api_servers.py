"""`/api/v1/models` and `/api/v1/servers`: server designs, and the servers of the lab."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from coreserver.models import ServerConfig
from webapp.http.api_responses import StrictRoute, problem_responses
from webapp.lab import model_catalog
from webapp.live.server_events import server_events
from webapp.live.streams import EventStream
from webapp.routes.dependencies import LabDep, ServerId, StreamsDep
from webapp.schemas.resources import ModelList, NoOptions, ServerList, ServerResource, StopOptions

router = APIRouter(prefix="/api/v1", tags=["servers"], route_class=StrictRoute)


@router.get("/models", responses=problem_responses())
def list_models(lab: LabDep) -> ModelList:
    """Return all server designs with description, JSON Schema of the options, and source."""
    return ModelList(models=model_catalog.all_models())


@router.post(
    "/servers",
    status_code=201,
    responses=problem_responses(409, 413, 415, 429, 507)
    | {201: {"headers": {"Location": {"description": "address of the server", "schema": {"type": "string"}}}}},
)
def create_server(lab: LabDep, config: ServerConfig, response: Response) -> ServerResource:
    """Start a server. The response contains its port; clients can connect immediately."""
    server = lab.servers.create(config)
    response.headers["Location"] = server.links["self"]
    return server


@router.get("/servers", responses=problem_responses())
def list_servers(lab: LabDep) -> ServerList:
    """Return all servers, oldest first. Stopped servers stay in the list until they are deleted."""
    return ServerList(servers=lab.servers.all())


@router.get("/servers/{server_id}", responses=problem_responses(404))
def get_server(lab: LabDep, server_id: ServerId) -> ServerResource:
    """Return one server with its current figures."""
    return lab.servers.get(server_id)


@router.post("/servers/{server_id}/start", responses=problem_responses(404, 409, 413, 415))
def start_server(lab: LabDep, server_id: ServerId, options: NoOptions | None = None) -> ServerResource:
    """Start a stopped or failed server again, with the same config."""
    return lab.servers.start(server_id)


@router.post("/servers/{server_id}/stop", responses=problem_responses(404, 413, 415))
def stop_server(lab: LabDep, server_id: ServerId, options: StopOptions | None = None) -> ServerResource:
    """Stop a server. Does nothing if it is stopped. After the response its port refuses connections."""
    return lab.servers.stop(server_id, (options or StopOptions()).drain_s)


@router.delete("/servers/{server_id}", status_code=204, responses=problem_responses(404, 409, 507))
def delete_server(lab: LabDep, server_id: ServerId) -> None:
    """Stop and delete a server. Its runs are kept."""
    lab.servers.delete(server_id)


@router.get(
    "/servers/{server_id}/events",
    status_code=200,
    response_class=EventStream,
    responses=problem_responses(404, 429)
    | {200: {"description": "`snapshot`, then `look`s, then `end`", "content": {"text/event-stream": {}}}},
)
async def stream_server(lab: LabDep, streams: StreamsDep, server_id: ServerId) -> EventStream:
    """Stream connections and figures of a server until it is deleted (server-sent events)."""
    await run_in_threadpool(lab.servers.get, server_id)
    return EventStream(server_events(lab, server_id), streams)
