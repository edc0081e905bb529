"""A small orders API. FastAPI writes its OpenAPI document, and knows nothing of Enactor."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, Field

API_KEY = "the-key-of-the-orders-api"


class NewOrder(BaseModel):
    """What a customer orders."""

    item: str = Field(min_length=1, max_length=40)
    quantity: int = Field(default=1, ge=1, le=100)
    customer_id: str = Field(max_length=20)
    reference: str = Field(max_length=80)
    note: str | None = None


class Order(NewOrder):
    """An order that was taken."""

    order_id: str
    version: int
    status: str = "open"


class Orders:
    """The orders there are. Each test has its own."""

    def __init__(self) -> None:
        self.by_id: dict[str, Order] = {}
        self.by_key: dict[str, Order] = {}
        self.app = FastAPI(title="Orders", version="2.1")
        self._lock = asyncio.Lock()
        self._serve()

    def _serve(self) -> None:
        app = self.app
        key_header = APIKeyHeader(name="X-API-Key", auto_error=False)

        def authenticated(key: Annotated[str | None, Depends(key_header)]) -> None:
            if key != API_KEY:
                raise HTTPException(401, {"code": "no_key"})

        @app.post("/orders", status_code=201, operation_id="createOrder", dependencies=[Depends(authenticated)])
        async def create(new: NewOrder, idempotency_key: Annotated[str | None, Header()] = None) -> Order:
            """Takes an order."""
            async with self._lock:
                if idempotency_key is not None and idempotency_key in self.by_key:
                    return self.by_key[idempotency_key]
                if new.item == "nothing":
                    raise HTTPException(422, {"code": "sold_out", "message": f"{new.item} is sold out"})
                if any(order.reference == new.reference for order in self.by_id.values()):
                    raise HTTPException(409, {"code": "reference_taken"})
                order = Order(**new.model_dump(), order_id=f"o-{len(self.by_key) + len(self.by_id) + 1}", version=1)
                self.by_id[order.order_id] = order
                if idempotency_key is not None:
                    self.by_key[idempotency_key] = order
                return order

        @app.get("/orders", operation_id="listOrders", dependencies=[Depends(authenticated)])
        async def listed(reference: str | None = None) -> dict[str, list[Order]]:
            """The orders of a reference, or all of them."""
            return {"items": [one for one in self.by_id.values() if reference in (None, one.reference)]}

        @app.get("/orders/{order_id}", operation_id="getOrder", dependencies=[Depends(authenticated)])
        async def one(order_id: str) -> Order:
            """An order."""
            if order_id not in self.by_id:
                raise HTTPException(404, {"code": "unknown"})
            return self.by_id[order_id]

        @app.delete(
            "/orders/{order_id}", status_code=204, operation_id="deleteOrder", dependencies=[Depends(authenticated)]
        )
        async def delete(order_id: str, if_match: Annotated[str, Header()]) -> Response:
            """Deletes an order that nobody changed."""
            async with self._lock:
                if order_id not in self.by_id:
                    raise HTTPException(404, {"code": "unknown"})
                if if_match != str(self.by_id[order_id].version):
                    raise HTTPException(412, {"code": "changed"})
                del self.by_id[order_id]
                return Response(status_code=204)

    def change(self, order_id: str) -> None:
        """Somebody changes an order."""
        order = self.by_id[order_id]
        self.by_id[order_id] = order.model_copy(update={"note": "changed", "version": order.version + 1})

    @property
    def document(self) -> dict[str, Any]:
        """What FastAPI says of the API."""
        return self.app.openapi()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """The API on a free port of 127.0.0.1; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await running
