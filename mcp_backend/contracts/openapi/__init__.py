"""OpenAPI 2.0 to 3.2: https://spec.openapis.org/oas/"""
