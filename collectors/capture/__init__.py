"""Packets in, `Heard` out: capture files and the live ring meet the same kernels at the packet index (`packets.PacketBatch`)."""
