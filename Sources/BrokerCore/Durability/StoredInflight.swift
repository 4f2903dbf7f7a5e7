import MQTTCodec

/// An unacknowledged delivery of a former process.
struct StoredInflight {
    let place: StoredPlace
    let sequence: UInt64
    let packetID: PacketID
    let state: InflightWindow.State
    let share: ShareNumber
    /// Bytes in memory once it is read back.
    let cost: UInt32

    init(
        _ place: StoredPlace,
        _ sequence: UInt64,
        _ packetID: PacketID,
        _ state: InflightWindow.State,
        _ share: ShareNumber,
        cost: Int
    ) {
        self.place = place
        self.sequence = sequence
        self.packetID = packetID
        self.state = state
        self.share = share
        self.cost = UInt32(clamping: cost)
    }
}
