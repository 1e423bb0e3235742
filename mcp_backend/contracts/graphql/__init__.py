"""GraphQL schemas: https://spec.graphql.org/draft/#sec-Type-System"""
