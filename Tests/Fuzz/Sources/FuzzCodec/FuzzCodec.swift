import MQTTCodec
import NIOCore

/// Reads arbitrary bytes as packets.
///
/// The first byte chooses who reads and in which version.
///
/// What is read must come back equal when it is written and read again, and `PublishLayout` must agree with `Publish`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: count)
    guard let choice = bytes.first else { return 0 }
    var decoder = PacketDecoder(
        role: choice & 1 == 0 ? .server : .client,
        version: choice & 2 == 0 ? .v3_1_1 : .v5,
        maximumPacketSize: 65_536
    )
    var buffer = ByteBuffer(bytes: bytes.dropFirst())
    while true {
        let before = buffer
        guard let packet = try? decoder.decode(from: &buffer) else { return 0 }
        checkRoundTrip(packet, decoder)
        if case .publish(let publish) = packet { checkLayout(publish, before, decoder.version) }
    }
}

private func checkRoundTrip(_ packet: Packet, _ decoder: PacketDecoder) {
    var decoder = decoder
    var written = ByteBuffer()
    PacketEncoder.encode(packet, version: decoder.version, into: &written)
    let again = try? decoder.decode(from: &written)
    precondition(again == packet, "\(packet) became \(String(describing: again))")
    precondition(written.readableBytes == 0)
}

private func checkLayout(_ publish: Publish, _ buffer: ByteBuffer, _ version: ProtocolVersion) {
    let all = buffer.readableBytesSpan
    guard let header = try? FixedHeader.parse(all, maximumPacketSize: 65_536, version: version) else {
        preconditionFailure("the header was read before")
    }
    let bytes = all.extracting(first: header.packetLength)
    guard let layout = try? PublishLayout.parse(bytes, header: header, version: version) else {
        preconditionFailure("PublishLayout refuses \(publish)")
    }
    precondition(layout.packetID == publish.packetID ?? 0)
    precondition(layout.qos == publish.qos && layout.retain == publish.retain && layout.dup == publish.dup)
    precondition(layout.payload.count == publish.payload.readableBytes)
    precondition(layout.topic.count == publish.topic?.string.utf8.count ?? 0)
}
