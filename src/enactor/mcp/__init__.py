"""The MCP faces: `/mcp`, through which agents propose, and `/gateway/mcp`, the connectors' tools behind tokens."""
