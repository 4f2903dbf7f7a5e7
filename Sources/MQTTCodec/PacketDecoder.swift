package import NIOCore

/// Turns bytes into packets, strictly: what the standard forbids is an error, never a guess.
///
/// The bytes may arrive cut anywhere; a packet is read when it is whole. Its protocol version is the one of the CONNECT
/// that it reads first, or the one that it is given.
package struct PacketDecoder: Sendable {
    /// Whose packets are read; the peer of a server may send other packets and reasons than the peer of a client.
    package enum Role: Sendable {
        case server
        case client
    }

    /// Which end of the connection reads.
    package let role: Role
    /// Bytes; a larger packet is refused as soon as its length is known [MQTT-3.2.2-15].
    package let maximumPacketSize: Int
    /// Topic Filters that one SUBSCRIBE or UNSUBSCRIBE may have.
    package let maximumFilters: Int
    /// What the packets after CONNECT are read as.
    package var version: ProtocolVersion

    package init(
        role: Role,
        version: ProtocolVersion = .v3_1_1,
        maximumPacketSize: Int = .max,
        maximumFilters: Int = .max
    ) {
        self.role = role
        self.version = version
        self.maximumPacketSize = maximumPacketSize
        self.maximumFilters = maximumFilters
    }

    /// Reads the next packet off the front of `buffer`.
    ///
    /// - Returns: nil when it has not wholly arrived; nothing is read then.
    /// - Throws: what is wrong with it; the connection can't go on.
    package mutating func decode(from buffer: inout ByteBuffer) throws(MalformedPacket) -> Packet? {
        guard
            let header = try FixedHeader.parse(
                buffer.readableBytesSpan,
                maximumPacketSize: maximumPacketSize,
                version: version
            ), header.packetLength <= buffer.readableBytes
        else { return nil }
        return try decode(header, from: &buffer)
    }

    /// Reads the packet whose header was seen; all its bytes are there.
    package mutating func decode(
        _ header: FixedHeader,
        from buffer: inout ByteBuffer
    ) throws(MalformedPacket) -> Packet {
        buffer.moveReaderIndex(forwardBy: header.headerLength)
        guard let body = buffer.readSlice(length: header.remainingLength) else {
            throw .malformed("the packet is not whole")
        }
        try checkDirection(header.type)
        var reader = PacketReader(body)
        switch header.type {
        case .connect:
            let connect = try Connect(&reader) { version = $0 }
            if version == .v5 { try header.checkLength() }
            return .connect(connect)
        case .connack: return .connack(try Connack(&reader, version: version))
        case .publish:
            return .publish(try Publish(&reader, header, version: version, fromClient: role == .server))
        case .puback, .pubrec, .pubrel, .pubcomp: return try acknowledgement(header.type, &reader)
        case .subscribe: return .subscribe(try Subscribe(&reader, version: version, maximumFilters: maximumFilters))
        case .suback: return .suback(try Suback(&reader, version: version))
        case .unsubscribe:
            return .unsubscribe(try Unsubscribe(&reader, version: version, maximumFilters: maximumFilters))
        case .unsuback: return .unsuback(try Unsuback(&reader, version: version))
        case .pingreq:
            try reader.expectEnd()
            return .pingreq
        case .pingresp:
            try reader.expectEnd()
            return .pingresp
        case .disconnect:
            return .disconnect(try Disconnect(&reader, version: version, fromClient: role == .server))
        case .auth: return .auth(try Auth(&reader, version: version))
        }
    }

    /// Reads what a broker acts on of the PUBACK, PUBREC, PUBREL or PUBCOMP whose header was seen; all its bytes are there.
    ///
    /// Its Reason String and User Properties are checked only. Most have none, and take no time here.
    package func acknowledgement(
        _ header: FixedHeader,
        from buffer: inout ByteBuffer
    ) throws(MalformedPacket) -> (packetID: PacketID, reasonCode: ReasonCode) {
        buffer.moveReaderIndex(forwardBy: header.headerLength)
        if header.remainingLength == 2,
            let packetID = buffer.getInteger(at: buffer.readerIndex, as: PacketID.self), packetID != 0
        {
            buffer.moveReaderIndex(forwardBy: 2)
            return (packetID, .success)
        }
        guard let body = buffer.readSlice(length: header.remainingLength) else {
            throw .malformed("the packet is not whole")
        }
        var reader = PacketReader(body)
        let acknowledgement = try Acknowledgement(&reader, type: header.type, version: version)
        return (acknowledgement.packetID, acknowledgement.reasonCode)
    }

    private func acknowledgement(
        _ type: PacketType,
        _ reader: inout PacketReader
    ) throws(MalformedPacket) -> Packet {
        let acknowledgement = try Acknowledgement(&reader, type: type, version: version)
        return switch type {
        case .puback: .puback(acknowledgement)
        case .pubrec: .pubrec(acknowledgement)
        case .pubrel: .pubrel(acknowledgement)
        default: .pubcomp(acknowledgement)
        }
    }

    private func checkDirection(_ type: PacketType) throws(MalformedPacket) {
        switch (role, type) {
        case (.server, .connack), (.server, .suback), (.server, .unsuback), (.server, .pingresp):
            throw .protocolError("\(type) is sent by servers only")
        case (.client, .connect), (.client, .subscribe), (.client, .unsubscribe), (.client, .pingreq):
            throw .protocolError("\(type) is sent by clients only")
        default: break
        }
        if type == .auth, version != .v5 { throw .malformed("packet type 15 is reserved in MQTT 3.1.1") }
    }
}
