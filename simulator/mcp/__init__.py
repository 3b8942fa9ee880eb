"""MCP servers over the desk's tools: thin faces that read, call and answer."""
