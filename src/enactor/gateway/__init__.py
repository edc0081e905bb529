"""The one door to tools: in process and, later, over MCP; and where secrets are read."""
