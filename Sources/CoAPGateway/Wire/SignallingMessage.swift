/// What the peer says about a connection (RFC 8323 §5); sans I/O.
package enum SignallingMessage: Equatable, Sendable {
    /// Capabilities and Settings (§5.3): the largest message it takes, bytes. Nil leaves it as it was.
    case settings(largestMessage: Int?)
    /// §5.4; with Custody the answer waits until what came before has been dealt with.
    case ping(custody: Bool)
    case pong
    /// §5.5: the connection is to end, once what is under way is through.
    case release
    /// §5.6: the connection has ended.
    case abort
    /// A code that means nothing yet.
    case unknown

    /// Why a message can't be taken, and the connection is aborted.
    package struct Unacceptable: Error, Equatable {
        /// The diagnostic payload of the Abort.
        package let words: String
        /// The number of the option of a CSM that is the reason (§5.6).
        package var badOption: UInt16?
    }

    /// Bytes of the largest message a peer takes that has said nothing of it (§5.3.1).
    package static let baseSize = 1_152
    /// Bytes that a largest message must have to be of use: room for a token, some options and a block.
    package static let smallestSize = 64

    /// Reads a message whose code is one of class 7.
    ///
    /// Options that are elective and not known, or longer than they may be, are passed over (RFC 7252 §5.4.1, §5.4.3).
    package init(_ message: borrowing WireMessage) throws(Unacceptable) {
        let isSettings = message.code == .settings
        var critical: UInt16?
        var size: Int?
        var custody = false
        message.forEachOption { number, value in
            if OptionNumber.isCritical(number), critical == nil { critical = number }
            // Each code has options of its own.
            switch (message.code, number) {
            case (.settings, SignalOption.maximumMessageSize) where value.byteCount <= 4:
                size = Int(value.unsignedInteger)
            case (.ping, SignalOption.custody) where value.byteCount == 0: custody = true
            default: break
            }
            return true
        }
        if let critical {
            throw Unacceptable(words: "option \(critical) is not known", badOption: isSettings ? critical : nil)
        }
        switch message.code {
        case .settings:
            if let size, size < Self.smallestSize {
                throw Unacceptable(words: "no answer is so short", badOption: SignalOption.maximumMessageSize)
            }
            self = .settings(largestMessage: size)
        case .ping: self = .ping(custody: custody)
        case .pong: self = .pong
        case .release: self = .release
        case .abort: self = .abort
        default: self = .unknown
        }
    }
}

/// What we say about a connection: code, options and a diagnostic payload (RFC 8323 §5).
package struct Signal: Sendable {
    package let code: CoAPCode
    package private(set) var options = OptionWriter()
    package private(set) var words = ""

    private init(_ code: CoAPCode, _ words: String = "") {
        self.code = code
        self.words = words
    }

    /// We take messages of up to so many bytes, and bodies in blocks (§5.3.1, §5.3.2).
    package static func settings(largestMessage: Int) -> Signal {
        var signal = Signal(.settings)
        signal.options.add(SignalOption.maximumMessageSize, UInt64(largestMessage))
        signal.options.add(SignalOption.blockwiseTransfer, [])
        return signal
    }

    /// Asks for a Pong when what was sent before has been dealt with (§5.4.1).
    package static var ping: Signal {
        var signal = Signal(.ping)
        signal.options.add(SignalOption.custody, [])
        return signal
    }

    /// - Parameter custody: whether what came before the Ping has been dealt with.
    package static func pong(custody: Bool) -> Signal {
        var signal = Signal(.pong)
        if custody { signal.options.add(SignalOption.custody, []) }
        return signal
    }

    package static func release(_ words: String) -> Signal { Signal(.release, words) }

    package static func abort(_ reason: SignallingMessage.Unacceptable) -> Signal {
        var signal = Signal(.abort, reason.words)
        if let option = reason.badOption { signal.options.add(SignalOption.badCSMOption, UInt64(option)) }
        return signal
    }
}

/// Option numbers, each for its codes alone (RFC 8323 §5.2).
private enum SignalOption {
    /// Of a CSM.
    static let maximumMessageSize: UInt16 = 2
    static let blockwiseTransfer: UInt16 = 4
    /// Of a Ping and a Pong.
    static let custody: UInt16 = 2
    /// Of an Abort.
    static let badCSMOption: UInt16 = 2
}

extension CoAPCode {
    // RFC 8323 §5.1.
    package static let settings = CoAPCode(7, 1)
    package static let ping = CoAPCode(7, 2)
    package static let pong = CoAPCode(7, 3)
    package static let release = CoAPCode(7, 4)
    package static let abort = CoAPCode(7, 5)
}
