"""The desk's twenty tools: plain typed functions over what is known at one instant, for agents and for MCP clients."""
