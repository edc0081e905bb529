"""The HTTP face: routes, tokens, problem documents, event streams. It calls the service and reads the store's port."""
