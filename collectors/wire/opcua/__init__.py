"""OPC UA binary over TCP: octets of byte streams in, rows of `sentinel.model.observation.Messages` out (OPC 10000-6, 6.7 and 7.1)."""
