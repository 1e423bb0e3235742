"""How messages are written: JSON, Avro and protobuf; plain, in a CloudEvent, or framed with the id of a schema."""
