extension WireMessage {
    /// Options of one request beyond which it is refused.
    private static var mostOptions: Int { 96 }

    /// The request it is, and the number of the first critical option in it that is none of ours, or is not as it may be
    /// (RFC 7252 §5.4.1, §5.4.3, §5.4.5).
    package func request() -> (request: CoAPRequest, critical: UInt16?) {
        var request = CoAPRequest(isConfirmable: kind == .confirmable, code: code, messageID: messageID, token: token)
        var critical: UInt16?
        var last: UInt16?
        var count = 0
        forEachOption { number, value in
            count += 1
            guard count <= Self.mostOptions else {
                request.refuse(CoAPFailure(.badRequest, "too many options"))
                return false
            }
            let isAgain = number == last
            last = number
            guard let definition = OptionDefinition.of(number), definition.lengths.contains(value.byteCount),
                definition.isRepeatable || !isAgain
            else {
                if OptionNumber.isCritical(number), critical == nil { critical = number }
                return true
            }
            if number == OptionNumber.proxyURI || number == OptionNumber.proxyScheme {
                request.refuse(CoAPFailure(.proxyingNotSupported, "this is no proxy"))
            }
            request.take(number, value)
            return true
        }
        if let critical { request.refuse(CoAPFailure(.badOption, "critical option \(critical)")) }
        request.payload = withPayload { [UInt8]($0) }
        return (request, critical)
    }
}
