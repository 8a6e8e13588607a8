"""HTTP: endpoints, uploads, image formats, authentication, OpenAPI."""
