// Reports of an adapter about packets that it has read or sent.
extension Broker {
    /// The client has sent a packet or a heartbeat: restarts its Keep Alive.
    ///
    /// - Parameter bytes: MQTT bytes read, for the statistics.
    @inline(__always)
    package func heard(from connection: VirtualConnection, bytes: Int = 0) {
        connection.lastActivity = now
        statistics.bytesReceived &+= UInt64(truncatingIfNeeded: bytes)
    }

    /// Counts MQTT packets that were read.
    @inline(__always)
    package func received(packets: Int) { statistics.packetsReceived &+= UInt64(truncatingIfNeeded: packets) }

    /// The adapter has appended a packet to the connection's output.
    @inline(__always)
    package func sentPacket(on connection: VirtualConnection) {
        statistics.packetsSent &+= 1
        markDirty(connection)
    }
}
