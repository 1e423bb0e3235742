"""AsyncAPI as a contract between applications: https://www.asyncapi.com/docs/reference/specification/v3.0.0"""
