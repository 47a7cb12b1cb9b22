"""One module per resource of the HTTP API; docs/http-api.md describes them."""
