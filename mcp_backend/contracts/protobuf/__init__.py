"""Protocol Buffers: https://protobuf.dev/reference/protobuf/proto3-spec/"""
