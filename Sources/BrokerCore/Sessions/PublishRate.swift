import MQTTCodec
import NIOCore

/// The publish rate limit of one client.
final class PublishRate {
    private var bucket: TokenBucket

    /// - Parameter rate: messages a second.
    init(rate: Int, now: NIODeadline) { bucket = TokenBucket(rate: rate, now: now) }

    /// Whether one more message is within the rate.
    func allows(at now: NIODeadline) -> Bool { bucket.take(at: now) }
}

/// The publish rates of clients that connect anew for each request.
///
/// Such a client is identified by its user and address: its Client Identifier is not proven, and its port changes each
/// time. A rate is remembered until it allows as much as a new one, which takes a second; so the number of rates is at
/// most that of the requests in two seconds.
struct TransientPublishRates {
    private struct Key: Hashable {
        let userName: ExactText?
        let host: ExactText
    }

    private static let kept = TimeAmount.seconds(1)
    private var recent: [Key: PublishRate] = [:]
    private var former: [Key: PublishRate] = [:]
    private var turned = NIODeadline.distantPast

    /// The rate of a client.
    ///
    /// - Parameters:
    ///   - remoteAddress: the address with the port.
    ///   - rate: messages a second.
    mutating func rate(
        of userName: String?,
        at remoteAddress: String,
        _ rate: Int,
        now: NIODeadline
    ) -> PublishRate {
        if now - turned >= Self.kept {
            // A rate that was unused for a second allows as much as a new one.
            former = now - turned < Self.kept * 2 ? recent : [:]
            recent = [:]
            turned = now
        }
        let host = remoteAddress.partedLast(at: UInt8(ascii: ":"))?.before ?? remoteAddress[...]
        let key = Key(userName: userName.map { ExactText($0) }, host: ExactText(host))
        if let known = recent[key] { return known }
        let found = former[key] ?? PublishRate(rate: rate, now: now)
        recent[key] = found
        return found
    }
}
