import MQTTCodec
import NIOCore

extension PacketStream {
    /// Appends a PUBLISH, with a Topic Alias if the client takes any.
    ///
    /// - Returns: false when the packet would be larger than the client takes [MQTT-3.1.2-24]; nothing is written
    ///   then.
    @inline(__always)
    func appendPublish(
        topic: RawSpan,
        payload: RawSpan,
        properties: @autoclosure () -> PublishProperties?,
        dup: Bool,
        qos: QoS,
        retain: Bool,
        packetID: PacketID
    ) -> Bool {
        let properties = version == .v5 ? properties() : nil
        if topicAliases != nil, appendAliased(topic, payload, properties, dup, qos, retain, packetID) { return true }
        return write(topic, payload, properties, dup, qos, retain, packetID)
    }

    /// - Returns: false when the topic gets no alias, or the packet would be larger than the client takes; without an
    ///   alias it may be small enough.
    private func appendAliased(
        _ topic: RawSpan,
        _ payload: RawSpan,
        _ properties: PublishProperties?,
        _ dup: Bool,
        _ qos: QoS,
        _ retain: Bool,
        _ packetID: PacketID
    ) -> Bool {
        let known = topicAliases?.known(topic)
        guard let alias = known ?? topicAliases?.next(for: topic) else { return false }
        var aliased = properties ?? PublishProperties()
        aliased.topicAlias = alias
        let name = known == nil ? topic : topic.extracting(first: 0)
        // A packet that is not sent sets no alias.
        guard write(name, payload, aliased, dup, qos, retain, packetID) else { return false }
        if known == nil { topicAliases?.set(topic) }
        return true
    }

    @inline(__always)
    private func write(
        _ topic: RawSpan,
        _ payload: RawSpan,
        _ properties: PublishProperties?,
        _ dup: Bool,
        _ qos: QoS,
        _ retain: Bool,
        _ packetID: PacketID
    ) -> Bool {
        let start = output.writerIndex
        _ = PacketEncoder.writePublish(
            topic: topic,
            payload: payload,
            properties: properties,
            dup: dup,
            qos: qos,
            retain: retain,
            packetID: packetID,
            version: version,
            into: &output
        )
        guard output.writerIndex - start <= maximumPacketSize else {
            output.moveWriterIndex(to: start)
            return false
        }
        return true
    }
}
